"""The kinds of Segmentation that a setting chooses, in OHIF over Orthanc's DICOMweb."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

pytest.importorskip("playwright", reason="playwright is not installed")

from tests.browser import CHROMIUM
from tests.conftest import Pacs
from tests.ohif import DIST, viewer
from tests.pacs_client import settled
from tests.test_integration_ohif import FINDINGS, LEFT, RIGHT, assert_painted, segments, sources

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed"),
    pytest.mark.skipif(not DIST.is_dir(), reason=f"OHIF is not in {DIST} (./run test fetches it)"),
]


LABELMAP, DEFLATED = {"SegmentationType": "LABELMAP"}, {"SegmentationType": "BINARY_DEFLATED"}
VOLUMETRIC = {**DEFLATED, "Models": {"CtSegmentation": ["ct-segment-unetpp-compact", "ct-segment-compact"]}}
"""The volumetric segmenter leads: its masks become the Segmentation."""


def labelled(file: bytes, source: str) -> dict[str, npt.NDArray[np.bool_]]:
    """Each segment's mask on one source image in a label map, by what it is of."""
    seg = pydicom.dcmread(io.BytesIO(file))
    for groups, frame in zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array, strict=True):
        image = groups.DerivationImageSequence[0].SourceImageSequence[0]
        if image.ReferencedSOPInstanceUID == source:
            return {label: frame == value for value, label in enumerate((RIGHT, LEFT, FINDINGS), start=1)}
    raise AssertionError("the image has no frame in the segmentation")


@pytest.mark.parametrize(
    ("settings", "masks", "syntax"),
    [
        (LABELMAP, labelled, RLELossless),
        (DEFLATED, segments, DeflatedExplicitVRLittleEndian),
        (VOLUMETRIC, segments, DeflatedExplicitVRLittleEndian),
    ],
    ids=["labelmap", "deflated", "volumetric"],
)
def test_it_lies_on_the_ct_in_its_colours(
    settings: dict[str, object],
    masks: Callable[[bytes, str], dict[str, npt.NDArray[np.bool_]]],
    syntax: str,
    orthanc_server: Callable[..., Pacs],
    synthetic: dict[str, list[Path]],
) -> None:
    pacs = orthanc_server(chest_ai=settings)
    pacs.store(synthetic["ct"])
    (entry,) = settled(pacs, 1).values()
    assert entry["state"] == "done", entry
    study = pacs.get(f"/series/{entry['series']}/study")["MainDicomTags"]["StudyInstanceUID"]
    file = pacs.read(f"/instances/{entry['outputs']['seg']}/file")
    assert pydicom.dcmread(io.BytesIO(file)).file_meta.TransferSyntaxUID == syntax
    assert len(file) < 1_000_000
    with viewer(pacs.http_port, width=1200, height=800) as window:
        window.show_segmentation(study, FINDINGS)
        source = sources(synthetic["ct"])[window.instance_number()]
        assert_painted(window.canvas(), masks(file, source))
