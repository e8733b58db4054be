"""A Segmentation written as a label map, which is a setting, in OHIF over Orthanc's DICOMweb."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import pytest

pytest.importorskip("playwright", reason="playwright is not installed")

from tests.conftest import Pacs
from tests.ohif import CHROMIUM, DIST, viewer
from tests.pacs_client import settled
from tests.test_integration_ohif import FINDINGS, LEFT, RIGHT, assert_painted, sources

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed"),
    pytest.mark.skipif(not DIST.is_dir(), reason=f"OHIF is not in {DIST} (./run test fetches it)"),
]


def labelled(file: bytes, source: str) -> dict[str, npt.NDArray[np.bool_]]:
    """Each segment's mask on one source image, by what it is of."""
    seg = pydicom.dcmread(io.BytesIO(file))
    assert seg.SegmentationType == "LABELMAP"
    for groups, frame in zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array, strict=True):
        image = groups.DerivationImageSequence[0].SourceImageSequence[0]
        if image.ReferencedSOPInstanceUID == source:
            return {label: frame == value for value, label in enumerate((RIGHT, LEFT, FINDINGS), start=1)}
    raise AssertionError("the image has no frame in the segmentation")


def test_a_label_map_lies_on_the_ct_in_its_colours(
    orthanc_server: Callable[..., Pacs], synthetic: dict[str, list[Path]]
) -> None:
    pacs = orthanc_server(chest_ai={"SegmentationType": "LABELMAP"})
    pacs.store(synthetic["ct"])
    (entry,) = settled(pacs, 1).values()
    assert entry["state"] == "done", entry
    study = pacs.get(f"/series/{entry['series']}/study")["MainDicomTags"]["StudyInstanceUID"]
    file = pacs.read(f"/instances/{entry['outputs']['seg']}/file")
    with viewer(pacs.http_port, width=1200, height=800) as window:
        window.show_segmentation(study, FINDINGS)
        source = sources(synthetic["ct"])[window.instance_number()]
        assert_painted(window.canvas(), labelled(file, source))
