"""The Key Object Selection: which images it names, and that the report names it."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from highdicom.ko import KeyObjectSelectionDocument
from pydicom.dataset import Dataset
from results_factory import (
    IDENTITY,
    LABEL,
    ct_findings,
    grid,
    lungs_on,
    measurements,
    regions_of,
    volume,
    xray,
    xray_findings,
)

from plugin.results.key_images import build_key_images
from plugin.results.sr.regions import NOWHERE, Regions
from plugin.results.sr.report import build_sr
from plugin.screening.gate import is_own_result, modality_of


def read_back(ds: Dataset | None) -> Dataset:
    assert ds is not None
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return pydicom.dcmread(buffer)


def named(ds: Dataset) -> list[str]:
    content = KeyObjectSelectionDocument.from_dataset(ds).content
    return [item.referenced_sop_instance_uid for item in content.get_references()]


def ct() -> tuple[Dataset, Regions, list[str]]:
    """Key images of a CT with two separate opacities on slices of their own, and its images' UIDs."""
    where = grid(slices=12)
    source = volume(where)
    lungs, _ = lungs_on(where)
    mask = np.zeros(lungs.shape, bool)
    mask[3] = lungs[3] == 2
    mask[6:9] = lungs[6:9] == 1
    regions = regions_of(volume=source, lungs=lungs, findings_mask=mask)
    key = build_key_images(
        findings=ct_findings(), sources=source.sources, regions=regions, identity=IDENTITY, label=LABEL
    )
    return read_back(key), regions, [instance.header.SOPInstanceUID for instance in source.sources]


def test_of_a_ct_the_slices_with_the_largest_opacities_the_largest_first() -> None:
    ds, regions, uids = ct()
    places = [uids.index(uid) for uid in named(ds)]
    assert places[0] in {6, 7, 8}
    assert places[1:] == [3]
    assert [uids[place] for place in places] == [o.outline.sop_instance_uid for o in regions.opacities]
    evidence = ds.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    cited = {item.ReferencedSOPInstanceUID for item in evidence.ReferencedSOPSequence}
    assert cited == set(named(ds))


def test_its_title_hides_no_image_and_it_warns() -> None:
    ds, _, _ = ct()
    assert ds.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.59"
    title = ds.ConceptNameCodeSequence[0]
    assert (title.CodeValue, title.CodingSchemeDesignator) == ("113000", "DCM"), (
        "113001 would hide the images"
    )
    (words,) = (
        item.TextValue
        for item in ds.ContentSequence
        if item.ValueType == "TEXT" and item.ConceptNameCodeSequence[0].CodeValue == "113012"
    )
    assert words.startswith("The slices on which the opacities")
    assert words.endswith("not checked by a physician.")
    assert ds.SeriesNumber == 9905
    assert is_own_result(ds)
    assert modality_of(ds) is None


@pytest.mark.parametrize(("score", "there"), [(0.83, True), (0.2, False)])
def test_an_x_ray_is_a_key_image_where_opacities_are_suspected(score: float, there: bool) -> None:
    image = xray()
    findings = xray_findings(probability=score)
    key = build_key_images(
        findings=findings, sources=[image.source], regions=NOWHERE, identity=IDENTITY, label=LABEL
    )
    if not there:
        assert key is None
        return
    assert named(read_back(key)) == [image.source.header.SOPInstanceUID]


def test_a_ct_without_opacities_has_none() -> None:
    where = grid(slices=8)
    clear = replace(ct_findings(), lungs=measurements((2000.0, 0.0), (1800.0, 0.0)))
    sources = volume(where).sources
    common = {"sources": sources, "regions": NOWHERE, "identity": IDENTITY, "label": LABEL}
    assert build_key_images(findings=clear, **common) is None  # type: ignore[arg-type]


def test_the_report_names_the_key_images() -> None:
    image = xray()
    common = {"findings": xray_findings(), "sources": [image.source], "identity": IDENTITY, "label": LABEL}
    key = build_key_images(regions=NOWHERE, **common)  # type: ignore[arg-type]
    assert key is not None
    report = read_back(build_sr(related={"key_images": key}, **common))  # type: ignore[arg-type]
    (item,) = (item for item in report.ContentSequence if item.ValueType == "COMPOSITE")
    assert item.ConceptNameCodeSequence[0].CodeMeaning == "Key images of this reading"
    assert item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == key.SOPInstanceUID
    assert key.SOPInstanceUID in str(report.CurrentRequestedProcedureEvidenceSequence)
