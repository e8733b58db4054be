"""The Structured Report parsed back: every number compared with the findings, by highdicom and DCMTK."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from collections.abc import Iterator
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
    attention_for,
    ct_findings,
    grid,
    header,
    lungs_on,
    measurements,
    regions_of,
    volume,
    xray,
    xray_findings,
)
from scipy import ndimage
from test_analysis_outline import inside

from plugin.dicom.imaging import Instance, XrayImage
from plugin.domain.findings import Findings, Remark, Severity, Side
from plugin.domain.kinds import RemarkCode
from plugin.results import concepts
from plugin.results.capture import build_attention
from plugin.results.common import SeriesLabel
from plugin.results.seg.segmentation import build_seg
from plugin.results.sr.regions import NOWHERE, xray_regions
from plugin.results.sr.report import ReportType, build_sr
from plugin.results.summary import Earlier, Report, sentence, summarise
from plugin.results.texts import Texts

HISTORY = (
    Earlier(day=date(2024, 4, 1), percent=3.25),
    Earlier(day=date(2024, 5, 2), percent=12.5),
)


def ct_report(
    findings: Findings | None = None, *, tied: bool = True, outlined: bool = False, **further: object
) -> Dataset:
    where = grid(slices=8)
    source = volume(where)
    lungs, mask = lungs_on(where)
    said = findings or ct_findings()
    seg = None
    if tied:
        seg = build_seg(
            volume=source, lungs=lungs, findings_mask=mask, findings=said, identity=IDENTITY, label=LABEL
        )
    regions = regions_of(volume=source, lungs=lungs, findings_mask=mask) if outlined else NOWHERE
    options = {"label": LABEL, "history": HISTORY, "regions": regions} | further
    return read_back(
        build_sr(
            findings=said,
            sources=source.sources,
            identity=IDENTITY,
            related={} if seg is None else {"seg": seg},
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
        assert set(values) == {"Probability", concepts.OPERATING_POINT.CodeMeaning}
        assert coded(found, "Presence") == ["Present" if said.positive else "Absent"]
        assert coded(found, "Finding") == [said.finding.code.meaning if said.finding.code else ""]
        assert coded(found, "Algorithm Family") == ["Artificial Intelligence"]
        (text,) = texts(found, "Algorithm Parameters")
        parameters = text.split("; ")
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
    assert both["Volume of both lungs"] == pytest.approx(said.volume_ml)
    assert both["Percentage of both lungs involved"] == pytest.approx(said.percent, abs=1e-6)
    found = group(ds, "findings")
    assert numbers(found)["Volume of findings in both lungs"] == pytest.approx(said.findings_ml)
    assert coded(found, "Presence") == ["Present"]


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
        *(("Percentage of both lungs involved", f"{e.day:%Y%m%d}", e.percent) for e in HISTORY),
        (
            "Change in percentage of lung involved",
            f"{HISTORY[-1].day:%Y%m%d}",
            pytest.approx(measurements().percent - HISTORY[-1].percent, abs=1e-6),
        ),
    ]
    assert (
        "Since 2024-05-02 the marked share of the lungs went from 12.5 % to 8.8 % (–3.7 percentage points)."
        in texts(ds, "Summary")[0]
    )


def outlines(ds: Dataset) -> list[tuple[str, str, np.ndarray]]:
    """Every outline: the tracking UID of its group, the image, the points."""
    found = []
    for item in find_content_items(ds, name=codes.DCM.MeasurementGroup, recursive=True):
        uid = next(i.UID for i in item.ContentSequence if i.ValueType == "UIDREF")
        for region in item.ContentSequence:
            if region.ValueType == "SCOORD":
                image = region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
                found.append((uid, image, np.array(region.GraphicData, float).reshape(-1, 2)))
    return found


@pytest.mark.parametrize("orientation", ["supine", "columns flipped", "transposed, flipped"])
def test_every_outline_encloses_just_what_was_segmented(orientation: str) -> None:
    """Each lung and each separate opacity, on the very image, and nothing else; no zig-zag from side to
    side: the two opacities of the two sides have an outline each."""
    where = grid(slices=8)
    source = volume(where, orientation)
    lungs, mask = lungs_on(where)
    mask = mask | where.ball((60, 10, 0), 15)
    found = mask & (lungs > 0)
    ds = read_back(
        build_sr(
            findings=ct_findings(),
            sources=source.sources,
            identity=IDENTITY,
            label=LABEL,
            regions=regions_of(volume=source, lungs=lungs, findings_mask=mask),
        )
    )
    uids = [instance.header.SOPInstanceUID for instance in source.sources]
    drawn = {}
    for uid, image, points in outlines(ds):
        k = uids.index(image)
        filled = inside(points, source.to_frame(lungs[k]).shape)
        drawn.setdefault(uid, []).append((k, filled))
    for what, label in (("lung-right", 1), ("lung-left", 2)):
        ((k, filled),) = drawn[IDENTITY.tracking_uid(what)]
        np.testing.assert_array_equal(filled, source.to_frame(lungs[k] == label))
    labels, count = ndimage.label(found)
    for number in range(1, count + 1):
        ((k, filled),) = drawn[IDENTITY.tracking_uid(f"opacity-{number}")]
        own = np.bincount(source.to_frame(labels[k])[filled], minlength=2)[1:].argmax() + 1
        whole = ndimage.binary_fill_holes(source.to_frame(labels[k] == own))
        np.testing.assert_array_equal(filled, whole)
    for what in ("lungs", "findings"):
        outline = drawn[IDENTITY.tracking_uid(what)]
        k = outline[0][0]
        together = np.logical_or.reduce([filled for _, filled in outline])
        np.testing.assert_array_equal(together, source.to_frame(lungs[k] > 0))


def test_each_opacity_has_its_volume_and_its_side() -> None:
    where = grid(slices=8)
    source = volume(where)
    lungs, mask = lungs_on(where)
    regions = regions_of(volume=source, lungs=lungs, findings_mask=mask)
    _, count = ndimage.label(mask & (lungs > 0))
    assert regions.opacity_count == len(regions.opacities) == count
    voxel = (source.thickness * 6 * 5 / 1000)[:, None, None]
    assert sum(o.volume_ml for o in regions.opacities) == pytest.approx(((mask & (lungs > 0)) * voxel).sum())
    ds = ct_report(outlined=True)
    first = groups(ds, shown=True)[IDENTITY.tracking_uid("opacity-1")]
    assert numbers(first) == {"Volume": pytest.approx(regions.opacities[0].volume_ml)}
    read = hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations.from_sequence([first])
    assert read.finding_sites[0].laterality.meaning == "Right"


def test_what_has_no_place_is_not_drawn() -> None:
    assert outlines(xray_report(xray_findings())) == []
    assert outlines(ct_report()) == []
    none = replace(ct_findings(), lungs=None)
    assert outlines(ct_report(none, tied=False)) == []


def test_every_group_of_a_ct_with_lungs_is_shown_somewhere_or_ohif_shows_none() -> None:
    ds = ct_report(outlined=True)
    assert set(groups(ds)) < set(groups(ds, shown=True))
    assert all((points.min(axis=0) > 0).all() for _, _, points in outlines(ds))


def test_without_opacities_they_are_absent_and_nothing_is_measured_of_them() -> None:
    where = grid(slices=8)
    source = volume(where)
    lungs, mask = lungs_on(where)
    clear = replace(ct_findings(), lungs=measurements((2000.0, 0.0), (1800.0, 0.0)))
    regions = regions_of(volume=source, lungs=lungs, findings_mask=mask & False)
    assert regions.opacities == ()
    ds = ct_report(clear, tied=False, regions=regions)
    found = group(ds, "findings")
    assert coded(found, "Presence") == ["Absent"]
    assert numbers(found) == {}


def test_a_lung_that_is_missing_is_absent() -> None:
    one = replace(ct_findings(), lungs=measurements((2000.0, 10.0), (0.0, 0.0)))
    found = group(ct_report(one, tied=False), "lung-left")
    assert coded(found, "Presence") == ["Absent"]
    assert numbers(found) == {}


def film_report(image: XrayImage, shades: np.ndarray, probability: float = 0.83) -> Dataset:
    return read_back(
        build_sr(
            findings=xray_findings(probability=probability),
            sources=[image.source],
            identity=IDENTITY,
            label=LABEL,
            regions=xray_regions(image=image, shades=shades),
        )
    )


def two_places(image: XrayImage) -> np.ndarray:
    """Shades in two places, one larger than the other, and in one too small for the map to see."""
    shades = np.zeros(image.pixels.shape, np.float32)
    shades[300:400, 80:180], shades[200:300, 330:400], shades[500:510, 50:60] = 0.4, 0.01, 0.9
    shades[:20] = np.nan
    return shades


def test_where_a_network_sees_opacities_on_a_film_is_outlined_part_by_part() -> None:
    image = xray()
    shades = two_places(image)
    ds = film_report(image, shades)
    (first, _, large), (second, _, small) = outlines(ds)
    assert first == IDENTITY.tracking_uid("classifier-xray-lite2-xray"), "OHIF sets the score beside it"
    assert second == IDENTITY.tracking_uid("region-2")
    shown = inside(large, shades.shape), inside(small, shades.shape)
    np.testing.assert_array_equal(shown[0], (shades > 0) & (np.arange(500) < 250) & ~(shades > 0.8))
    np.testing.assert_array_equal(shown[1], (shades > 0) & (np.arange(500) > 250))
    for uid in (first, second):
        group = groups(ds, shown=True)[uid]
        (words,) = texts(group, "Tracking Identifier")
        assert words.startswith("Where xray-lite2 sees opacities, region ")
        assert texts(group, "Algorithm Name") == ["xray-lite2"]
        assert "matched radiologists' boxes best" in texts(group, "Algorithm Parameters")[0]
        assert coded(group, "Presence") == [], "that is what the classifier says, not the map"
    (comment,) = texts(ds, "Comment")
    assert comment.startswith("The outlines show where xray-lite2 sees opacities.")


def test_nothing_is_outlined_on_a_film_that_is_not_called_or_on_which_the_map_shows_nothing() -> None:
    image = xray()
    for ds in (
        film_report(image, two_places(image), probability=0.2),
        film_report(image, 0 * two_places(image)),
    ):
        assert outlines(ds) == []
        assert texts(ds, "Comment") == []


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
    ds = build_sr(sources=source.sources, related={"seg": seg}, **common)  # type: ignore[arg-type]
    empty, label_map = texts(ds, "Comment")
    assert empty.endswith("Opacities in the lungs.")
    assert "leave out the opacities" in label_map
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
        }
    )
    assert coded(found, "Presence") == ["Absent"]
    image = next(i for i in found.ContentSequence if i.ValueType == "IMAGE")
    assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == xray().source.header.SOPInstanceUID


def test_remarks_in_codes_and_words() -> None:
    remark = Remark(code="thick_slices", severity=Severity.WARN, message="Slices are 5 mm thick.")
    ds = ct_report(ct_findings((remark,)))
    said = find_content_items(ds, name=concepts.QUALITATIVE)[0]
    assert coded(said, "Summary of Analyses") == ["Succeeded"]
    assert coded(said, concepts.REMARK.CodeMeaning) == ["Thick slices"]
    assert texts(ds, "Comment") == ["Slices are 5 mm thick."]


def test_meanings_are_words_and_no_code_is_cut_or_has_two_meanings() -> None:
    values = {code: concepts.remark(code) for code in RemarkCode}
    assert len({c.value for c in values.values()}) == len(RemarkCode)
    assert all("_" not in c.meaning for c in values.values())
    assert concepts.own("uneven_spacing_small", "x").LongCodeValue == "UNEVEN_SPACING_SMALL"
    meanings: dict[tuple[str, str], set[str]] = {}
    two = replace(xray_findings().classifications[0], algorithm=algorithm("other"))
    finding = replace(two.finding, code=None, meaning="Opacities as in COVID-19 pneumonia")
    two = replace(two, classes=(finding, *two.others))
    one = replace(two, classes=(replace(finding, meaning="Opacity as in COVID-19 pneumonia"), *two.others))
    for ds in (ct_report(outlined=True), xray_report(Findings(modality="xray", classifications=(one, two)))):
        for item in walked(ds):
            value = item.get("CodeValue") or item.get("LongCodeValue")
            if value is not None:
                meanings.setdefault((item.CodingSchemeDesignator, value), set()).add(item.CodeMeaning)
    assert {code: words for code, words in meanings.items() if len(words) > 1} == {}


def walked(ds: Dataset) -> Iterator[Dataset]:
    """A dataset and all items in it."""
    yield ds
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                yield from walked(item)


def test_a_remark_in_another_language_has_its_numbers_or_stays_as_it_is() -> None:
    message = "the slices are 2.75 mm thick"
    remark = Remark(code="thick_slices", severity=Severity.WARN, message=message)
    assert sentence(remark, Texts("en")) == "The slices are 2.75 mm thick."
    assert sentence(remark, Texts("pt")) == "The slices are 2.75 mm thick."
    measured = replace(remark, values=(("thickness", "2.75"),))
    assert sentence(measured, Texts("pt")) == "Os cortes têm 2,75 mm de espessura."


@pytest.mark.parametrize("network", [True, False])
def test_a_rejected_series_was_not_analysed_and_says_by_what(network: bool) -> None:
    remark = Remark(code="network_rejection", severity=Severity.REJECT, message="Not a frontal film.")
    screening = algorithm("screener", (("REJECTION", 0.4),)) if network else None
    ds = xray_report(Findings(modality="xray", remarks=(remark,), screening=screening))
    found = group(ds, "rejection")
    assert coded(found, "Summary of Analyses") == ["Not Attempted"]
    assert coded(found, concepts.REMARK.CodeMeaning) == ["Rejected by a network"]
    name = "screener" if network else "orthanc-chest-ai screening rules"
    assert texts(found, "Algorithm Name") == [name]
    said = "; ".join(texts(found, "Algorithm Parameters")).split("; ")
    assert ("threshold REJECTION=0.4" in said) == network
    assert coded(ds, "Procedure reported") == ["XR unspecified body region"]
    assert "Target Region" not in str(ds)
    assert "Unusable" not in str(ds)
    assert ds.SeriesDescription == "AI chest not read - research, not for clinical use"
    assert texts(ds, "Summary")[0].startswith("This series was not analysed. Not a frontal film.")
    equipment = [item.ManufacturerModelName for item in ds.ContributingEquipmentSequence]
    assert equipment == ["orthanc-chest-ai", *(["screener"] if network else [])]


@pytest.mark.parametrize("report_type", ["COMPREHENSIVE", "COMPREHENSIVE_3D"])
def test_a_note_on_a_kind_of_object_that_nobody_knows(report_type: ReportType) -> None:
    """``Results.RejectionSr`` may be "all": so private SOP Classes get a note too."""
    remark = Remark(code=RemarkCode.SOP_CLASS, severity=Severity.REJECT, message="a private kind of object")
    source = Instance(instance_id="a", header=header(SOPClassUID="1.3.6.1.4.1.9.9.1"), has_pixels=True)
    ds = read_back(
        build_sr(
            findings=Findings(modality="ct", remarks=(remark,)),
            sources=[source],
            identity=IDENTITY,
            label=LABEL,
            report_type=report_type,
        )
    )
    assert (ds.PatientName, ds.StudyDescription) == ("Doe^Jane", "Chest CT")
    assert "1.3.6.1.4.1.9.9.1" in str(ds.CurrentRequestedProcedureEvidenceSequence)


def test_the_report_names_the_other_results() -> None:
    image = xray()
    common = {"findings": xray_findings(), "identity": IDENTITY, "label": LABEL}
    attention = build_attention(image=image, attention=attention_for(image), **common)  # type: ignore[arg-type]
    related = {"attention": attention}
    ds = read_back(build_sr(sources=[image.source], related=related, **common))  # type: ignore[arg-type]
    named = [
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for item in ds.ContentSequence
        if item.ValueType in {"IMAGE", "COMPOSITE"}
    ]
    assert named == [attention.SOPInstanceUID]
    evidence = str(ds.CurrentRequestedProcedureEvidenceSequence)
    assert attention.SOPInstanceUID in evidence


def test_the_kind_of_report_is_a_choice() -> None:
    ds = ct_report(outlined=True, report_type="COMPREHENSIVE_3D")
    assert ds.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.34"
    assert len(outlines(ds)) == len(outlines(ct_report(outlined=True)))


def test_earlier_numbers_cite_their_reports() -> None:
    report = Report(
        study_instance_uid="1.2.3",
        series_instance_uid="1.2.3.1",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.88.33",
        sop_instance_uid="1.2.3.1.1",
    )
    ds = ct_report(history=(replace(HISTORY[0], report=report),))
    course = find_content_items(ds, name=codes.DCM.DerivedImagingMeasurements)[0]
    for item in course.ContentSequence:
        assert item.ContentSequence[1].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.3.1.1"
    unit = course.ContentSequence[-1].MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0]
    assert unit.CodeMeaning == "percentage points"
    assert "1.2.3.1.1" in str(ds.get("CurrentRequestedProcedureEvidenceSequence", "")) + str(
        ds.get("PertinentOtherEvidenceSequence", "")
    )


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
    for part in (said.left, said.right):
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
