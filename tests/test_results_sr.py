"""The Structured Report parsed back: every number compared with the findings, by highdicom and DCMTK."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import date
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from highdicom.sr.utils import find_content_items
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from results_factory import (
    IDENTITY,
    LABEL,
    SERIES,
    algorithm,
    ct_findings,
    grid,
    lungs_on,
    measurements,
    volume,
    xray,
    xray_findings,
)

from plugin.dicom.imaging import Instance
from plugin.domain.findings import Findings, Remark, Severity, Side
from plugin.results import concepts
from plugin.results.common import SeriesLabel
from plugin.results.seg.segmentation import build_seg
from plugin.results.sr.regions import key_regions
from plugin.results.sr.report import build_sr
from plugin.results.summary import Earlier, sentence, summarise
from plugin.results.texts import Texts

HISTORY = (
    Earlier(day=date(2024, 4, 1), percent=3.25),
    Earlier(day=date(2024, 5, 2), percent=12.5),
)


def ct_report(findings: Findings | None = None, *, tied: bool = True, **further: object) -> Dataset:
    where = grid(slices=8)
    source = volume(where)
    lungs, mask = lungs_on(where)
    said = findings or ct_findings()
    seg = None
    if tied:
        seg = build_seg(
            volume=source, lungs=lungs, findings_mask=mask, findings=said, identity=IDENTITY, label=LABEL
        )
    options = {"label": LABEL, "history": HISTORY} | further
    return read_back(
        build_sr(
            findings=said,
            sources=source.sources,
            identity=IDENTITY,
            segmentation=seg,
            **options,  # type: ignore[arg-type]
        )
    )


def xray_report(findings: Findings) -> Dataset:
    source: Instance = xray().source
    return read_back(build_sr(findings=findings, sources=[source], identity=IDENTITY, label=LABEL))


def read_back(ds: Dataset) -> Dataset:
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return pydicom.dcmread(buffer)


def groups(ds: Dataset, *, shown: bool = False) -> dict[str, Dataset]:
    """The measurement groups by Tracking UID: those that say something, or those that show where."""
    found = find_content_items(ds, name=codes.DCM.MeasurementGroup, recursive=True)
    return {
        item.UID: group
        for group in found
        for item in group.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeMeaning == "Tracking Unique Identifier"
        and shown == any(i.ValueType == "SCOORD" for i in group.ContentSequence)
    }


def group(ds: Dataset, what: str) -> Dataset:
    return groups(ds)[IDENTITY.tracking_uid(what)]


def numbers(ds: Dataset) -> dict[str, float]:
    """The numbers of one group by the meaning of their concept."""
    return {
        item.ConceptNameCodeSequence[0].CodeMeaning: float(item.MeasuredValueSequence[0].NumericValue)
        for item in ds.ContentSequence
        if item.ValueType == "NUM"
    }


def coded(ds: Dataset, meaning: str) -> list[str]:
    return [
        item.ConceptCodeSequence[0].CodeMeaning
        for item in ds.ContentSequence
        if item.ValueType == "CODE" and item.ConceptNameCodeSequence[0].CodeMeaning == meaning
    ]


def texts(ds: Dataset, meaning: str) -> list[str]:
    found = find_content_items(ds, value_type="TEXT", recursive=True)
    return [i.TextValue for i in found if i.ConceptNameCodeSequence[0].CodeMeaning == meaning]


def test_each_classifiers_numbers_are_those_of_the_findings() -> None:
    ds = ct_report()
    for said in ct_findings().classifications:
        found = group(ds, f"classifier-{said.algorithm.name}-{said.projection}")
        values = numbers(found)
        assert values["Probability"] == pytest.approx(said.finding.probability, abs=1e-6)
        assert values[concepts.OPERATING_POINT.CodeMeaning] == said.finding.threshold
        assert values["Probability of NON-COVID"] == pytest.approx(said.others[0].probability, abs=1e-6)
        assert coded(found, "Presence") == ["Present" if said.positive else "Absent"]
        assert coded(found, "Finding") == [said.finding.code.meaning if said.finding.code else ""]
        assert coded(found, "Algorithm Family") == ["Artificial Intelligence"]
        parameters = texts(found, "Algorithm Parameters")
        assert f"sha256={said.algorithm.sha256}" in parameters
        assert f"threshold COVID={said.finding.threshold:g}" in parameters
        assert texts(found, "Algorithm Name") == [said.algorithm.name]


@pytest.mark.parametrize("side", list(Side))
def test_each_lungs_numbers_are_tied_to_its_segment(side: Side) -> None:
    found = group(ct_report(), f"lung-{side.value}")
    said = getattr(measurements(), side.value)
    values = numbers(found)
    assert values["Volume"] == pytest.approx(said.volume_ml)
    assert values["Volume of findings in lung"] == pytest.approx(said.findings_ml)
    assert values["Percentage of lung volume involved"] == pytest.approx(said.percent, abs=1e-6)
    read = hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations.from_sequence([found])
    assert read.finding_sites[0].laterality.meaning.lower() == side.value
    segment = next(i for i in found.ContentSequence if i.ValueType == "IMAGE")
    reference = segment.ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == IDENTITY.sop_instance_uid("seg")
    assert reference.ReferencedSegmentNumber == {Side.RIGHT: 1, Side.LEFT: 2}[side]
    assert SERIES in [i.UID for i in found.ContentSequence if i.ValueType == "UIDREF"]


def test_both_lungs_and_the_findings_segment() -> None:
    ds, said = ct_report(), measurements()
    both = numbers(group(ds, "lungs"))
    assert both["Volume"] == pytest.approx(said.volume_ml)
    assert both["Percentage of lung volume involved"] == pytest.approx(said.percent, abs=1e-6)
    assert numbers(group(ds, "findings"))["Volume"] == pytest.approx(said.findings_ml)


def test_without_a_segmentation_the_volumes_stand_alone() -> None:
    ds = ct_report(tied=False)
    assert numbers(group(ds, "lung-left"))["Volume"] == pytest.approx(measurements().left.volume_ml)
    assert "Referenced Segment" not in str(ds)


def test_course_over_time() -> None:
    ds = ct_report()
    course = find_content_items(ds, name=codes.DCM.DerivedImagingMeasurements)[0]
    found = [
        (
            item.ConceptNameCodeSequence[0].CodeMeaning,
            item.ContentSequence[0].Date,
            float(item.MeasuredValueSequence[0].NumericValue),
        )
        for item in course.ContentSequence
    ]
    assert found == [
        *(("Percentage of lung volume involved", f"{e.day:%Y%m%d}", e.percent) for e in HISTORY),
        (
            "Change in percentage of lung involved",
            f"{HISTORY[-1].day:%Y%m%d}",
            pytest.approx(measurements().percent - HISTORY[-1].percent, abs=1e-6),
        ),
    ]
    assert (
        "Since 2024-05-02 the share of lung marked went from 12.5 % to 8.8 % (−3.7 percentage points)."
        in texts(ds, "Summary")[0]
    )


def test_every_group_is_shown_somewhere() -> None:
    """Each group has a twin with its Tracking UID and an outline on a source image."""
    where = grid(slices=8)
    source = volume(where, "columns flipped")
    lungs, mask = lungs_on(where)
    ds = ct_report(regions=key_regions(volume=source, lungs=lungs, findings_mask=mask))
    assert set(groups(ds)) == set(groups(ds, shown=True))
    for what, label in (("lung-right", 1), ("lung-left", 2)):
        region = groups(ds, shown=True)[IDENTITY.tracking_uid(what)]
        outline = next(i for i in region.ContentSequence if i.ValueType == "SCOORD")
        image = outline.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        uids = [instance.header.SOPInstanceUID for instance in source.sources]
        index = uids.index(image)
        areas = np.count_nonzero(lungs == label, axis=(1, 2))
        assert areas[index] >= np.sort(areas)[-2]
        points = np.array(outline.GraphicData).reshape(-1, 2)
        rows, columns = np.nonzero(source.to_frame(lungs[index] == label))
        assert (points.min(axis=0) == [columns.min(), rows.min() + 0.5]).all()
        assert (points.max(axis=0) == [columns.max() + 1, rows.max() + 0.5]).all()
        assert (points[0] == points[-1]).all()


def test_no_two_groups_are_shown_on_one_slice() -> None:
    where = grid()
    lungs, mask = lungs_on(where)
    regions = key_regions(volume=volume(where), lungs=lungs, findings_mask=mask)
    assert set(regions) == {
        *("lung-right", "lung-left", "findings", "lungs"),
        *(f"classifier-{number}" for number in range(6)),
    }
    assert len({region.sop_instance_uid for region in regions.values()}) == len(regions)


def test_without_regions_a_whole_image_is_shown() -> None:
    ds = ct_report()
    outline = next(
        i
        for i in groups(ds, shown=True)[IDENTITY.tracking_uid("lungs")].ContentSequence
        if i.ValueType == "SCOORD"
    )
    _, rows, columns = grid().shape
    assert np.array(outline.GraphicData).reshape(-1, 2).max(axis=0).tolist() == [columns, rows]


def test_no_lungs_and_no_findings_are_said_in_words() -> None:
    none = replace(ct_findings(), lungs=None)
    assert "not segmented" in texts(ct_report(none, tied=False), "Summary")[0]
    clear = replace(ct_findings(), lungs=measurements((2000.0, 0.0), (1800.0, 0.0)))
    assert "No opacities found; small ones may be missed" in texts(ct_report(clear), "Summary")[0]


def test_what_the_segmentation_lacks_is_said() -> None:
    where = grid(slices=8)
    source = volume(where)
    lungs, mask = lungs_on(where)
    common = {"findings": ct_findings(), "identity": IDENTITY, "label": LABEL}
    seg = build_seg(
        volume=source,
        lungs=lungs,
        findings_mask=mask & False,
        segmentation_type="LABELMAP",
        **common,  # type: ignore[arg-type]
    )
    ds = build_sr(sources=source.sources, segmentation=seg, **common)  # type: ignore[arg-type]
    empty, label_map = texts(ds, "Comment")
    assert empty.endswith("Opacities in the lungs.")
    assert "leave the opacities out" in label_map
    assert "Referenced Segment" not in str(group(ds, "findings"))
    assert "Referenced Segment" in str(group(ds, "lung-left"))


def test_disagreeing_classifiers_are_pointed_out() -> None:
    assert "one of two classifiers agrees" in texts(ct_report(), "Summary")[0]


def test_a_three_class_xray() -> None:
    ds = xray_report(xray_findings(probability=0.2))
    found = group(ds, "classifier-xray-lite2-xray")
    assert numbers(found) == pytest.approx(
        {
            "Probability": 0.2,
            concepts.OPERATING_POINT.CodeMeaning: 0.53,
            "Probability of NON-COVID": 0.6,
            "Probability of REJECTION": 0.2,
        }
    )
    assert coded(found, "Presence") == ["Absent"]
    image = next(i for i in found.ContentSequence if i.ValueType == "IMAGE")
    assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == xray().source.header.SOPInstanceUID


def test_quality_and_remarks_in_codes_and_words() -> None:
    remark = Remark(code="CT_THICK_SLICES", severity=Severity.WARN, message="Slices are 5 mm thick.")
    ds = ct_report(ct_findings((remark,)))
    quality = find_content_items(ds, name=concepts.QUALITATIVE)[0]
    assert coded(quality, "Imaging Series Quality") == ["Usable - Does not meet the quality control standard"]
    assert coded(quality, concepts.REMARK.CodeMeaning) == ["CT_THICK_SLICES"]
    assert texts(ds, "Comment") == ["Slices are 5 mm thick. [CT_THICK_SLICES]"]
    nothing = Remark(code="no_findings", severity=Severity.WARN, message="no findings were segmented")
    found = find_content_items(ct_report(ct_findings((nothing,))), name=concepts.QUALITATIVE)[0]
    assert coded(found, "Imaging Series Quality") == ["Usable - Meets the quality control standard"]


def test_a_remark_in_another_language_keeps_the_details() -> None:
    remark = Remark(code="thick_slices", severity=Severity.WARN, message="SliceThickness is 5 mm")
    assert sentence(remark, Texts("en")) == "SliceThickness is 5 mm."
    assert sentence(remark, Texts("pt")) == "Os cortes são espessos (SliceThickness is 5 mm)."


def test_a_rejected_series() -> None:
    remark = Remark(code="XRAY_LATERAL", severity=Severity.REJECT, message="A lateral view.")
    ds = xray_report(Findings(modality="xray", remarks=(remark,)))
    assert coded(group(ds, "quality"), "Imaging Series Quality") == [
        "Unusable - Quality renders image unusable"
    ]
    assert texts(ds, "Summary")[0].startswith("This series was not analysed. A lateral view.")


def test_it_is_an_unverified_tid_1500_with_an_image_library() -> None:
    ds = ct_report()
    assert (ds.VerificationFlag, ds.CompletionFlag) == ("UNVERIFIED", "COMPLETE")
    assert ds.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.33"
    assert ds.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    report = hd.sr.ComprehensiveSR.from_dataset(ds).content
    assert isinstance(report, hd.sr.MeasurementReport)
    library = find_content_items(ds, name=codes.DCM.ImageLibrary)[0]
    images = find_content_items(library, value_type="IMAGE", recursive=True)
    assert len(images) == 8
    assert "not for clinical use" in ds.SeriesDescription
    evidence = ds.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert sorted(len(series.ReferencedSOPSequence) for series in evidence) == [1, 8]


def test_the_language_is_said_and_used() -> None:
    label = SeriesLabel(software_version="0.1.0", language="pt")
    ds = ct_report(label=label)
    assert ds.ContentSequence[0].ConceptCodeSequence[0].CodeValue == "pt-BR"
    assert texts(ds, "Summary")[0] == summarise(ct_findings(), label.texts, HISTORY)
    assert "Opacidades marcadas: 380 mL (8,8 % dos pulmões)" in texts(ds, "Summary")[0]


def test_predecessors() -> None:
    old = ct_report()
    old.SOPInstanceUID = "1.2.3.4"
    ds = ct_report(predecessors=[old])
    series = ds.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.3.4"


def test_twice_the_same_bytes() -> None:
    once, again = io.BytesIO(), io.BytesIO()
    for buffer in (once, again):
        ct_report().save_as(buffer, enforce_file_format=True)
    assert once.getvalue() == again.getvalue()


@pytest.mark.skipif(shutil.which("dsrdump") is None, reason="needs DCMTK's dsrdump")
def test_dcmtk_reads_the_same_numbers(tmp_path: Path) -> None:
    path = tmp_path / "sr.dcm"
    ct_report().save_as(path, enforce_file_format=True)
    done = subprocess.run(["dsrdump", "+Pl", str(path)], capture_output=True, text=True, check=True)
    found = {
        (name, round(float(value), 4))
        for name, value in re.findall(r'NUM:\(,,"([^"]+)"\)="([\d.-]+)"', done.stdout)
    }
    said = measurements()
    wanted = {("Probability", round(c.finding.probability, 4)) for c in ct_findings().classifications}
    for part in (said.left, said.right, said):
        wanted |= {
            ("Volume", round(part.volume_ml, 4)),
            ("Volume of findings in lung", round(part.findings_ml, 4)),
            ("Percentage of lung volume involved", round(part.percent, 4)),
        }
    assert wanted <= found
    assert "error" not in done.stderr.lower()


def test_sources_are_needed() -> None:
    with pytest.raises(ValueError, match="at least one source"):
        build_sr(findings=ct_findings(), sources=[], identity=IDENTITY, label=LABEL)


def test_classifiers_of_one_image_have_frames_of_their_own() -> None:
    first, second = (replace(xray_findings().classifications[0], algorithm=algorithm(n)) for n in "ab")
    ds = xray_report(Findings(modality="xray", classifications=(first, second)))
    frames = [
        np.array(item.GraphicData).reshape(-1, 2)
        for region in groups(ds, shown=True).values()
        for item in region.ContentSequence
        if item.ValueType == "SCOORD"
    ]
    rows, columns = xray().pixels.shape
    assert frames[0].max(axis=0) == pytest.approx([0.8 * columns, 0.8 * rows])
    assert (frames[1].max(axis=0) < frames[0].max(axis=0)).all()
