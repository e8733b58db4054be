"""Two segmenters in one result: both are told with their agreement, and the first one's masks are stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from results_factory import IDENTITY, LABEL, algorithm, ct_findings, measurements, three_classifiers
from test_results_pdf import HISTORY, boxes, ct_pdf, material, needs_poppler, words
from test_results_sr import coded, ct_report, group, groups, numbers, texts

from plugin.domain.findings import Findings, as_json
from plugin.domain.outcome import kept_findings
from plugin.results.common import SeriesLabel
from plugin.results.seg.segmentation import build_seg

SECOND = "ct-segment-unetpp-compact"


def both(agreement: float | None = 0.7231, findings: float = 120.0) -> Findings:
    """The first network took the lungs of a third; the second found findings in them as well."""
    leading = replace(measurements(), outline=algorithm("ct-lungs"))
    other = replace(
        measurements(right=(2310.4, findings), left=(1987.6, 0.0)),
        algorithm=algorithm(SECOND),
        outline=algorithm("ct-lungs"),
        agreement=agreement,
    )
    return replace(ct_findings(), lungs=leading, beside=(other,))


def assert_nothing_overlaps(found: list[tuple[float, float, float, float]]) -> None:
    """No box of a word (left, top, right, bottom) lies over another."""
    for n, (left, top, right, bottom) in enumerate(found):
        for other in found[n + 1 :]:
            wide = min(right, other[2]) - max(left, other[0])
            tall = min(bottom, other[3]) - max(top, other[1])
            assert wide < 0.5 or tall < 0.45 * min(bottom - top, other[3] - other[1])


def test_the_report_has_both_with_their_agreement() -> None:
    report = ct_report(both(), outlined=True)
    second = group(report, f"beside-{SECOND}")
    assert numbers(second) == {
        "Volume of findings in both lungs": pytest.approx(120.0),
        "Percentage of both lungs involved": pytest.approx(100 * 120.0 / 4298.0, abs=0.01),
        "Dice coefficient with the leading segmentation of findings": pytest.approx(0.7231),
    }
    assert coded(second, "Presence") == ["Present"]
    assert f"{SECOND} marks 120 mL (2.8 %). Agreement with ct-segmentation: Dice 0.72." in texts(
        report, "Comment"
    )
    # OHIF shows nothing of a report in which one group has no coordinates.
    assert set(groups(report)) < set(groups(report, shown=True))


def test_each_group_names_the_network_that_found_it() -> None:
    report = ct_report(both())
    named = {
        what: [
            item.TextValue
            for item in group(report, what).ContentSequence
            if item.ConceptNameCodeSequence[0].CodeMeaning == "Algorithm Name"
        ]
        for what in ("lung-right", "findings", f"beside-{SECOND}")
    }
    assert named == {
        "lung-right": ["ct-lungs"],
        "findings": ["ct-segmentation"],
        f"beside-{SECOND}": [SECOND],
    }


def test_the_segmentation_is_the_first_ones_in_the_lungs_of_another() -> None:
    shown = material()
    seg = build_seg(
        volume=shown.volume,
        lungs=shown.lungs,
        findings_mask=shown.findings,
        findings=both(),
        identity=IDENTITY,
        label=LABEL,
    )
    assert seg is not None
    drawn = [
        item.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName for item in seg.SegmentSequence
    ]
    assert drawn == ["ct-lungs", "ct-lungs", "ct-segmentation"]
    equipment = [item.ManufacturerModelName for item in seg.ContributingEquipmentSequence]
    assert equipment[-2:] == ["ct-lungs", "ct-segmentation"]


@needs_poppler
@pytest.mark.parametrize("language", ["en", "pt"])
def test_the_page_has_both_and_nothing_overlaps(language: str, tmp_path: Path) -> None:
    label = SeriesLabel(software_version="0.1.0", language=language)
    page = ct_pdf(both(), history=HISTORY, material=material(maps=1), label=label)
    text = words(page, tmp_path)
    expected = {
        "en": (f"{SECOND} marks 120 mL (2.8 %).", "Agreement with ct-segmentation: Dice 0.72."),
        "pt": (f"{SECOND} marca 120 mL (2,8 %).", "Concordância com ct-segmentation: Dice 0,72."),
    }[language]
    for sentence in expected:
        assert sentence in text
    assert_nothing_overlaps(boxes(page, tmp_path))


@needs_poppler
@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", ("Segmented volume", "Where the network sees opacities", "do not locate disease")),
        ("pt", ("Volume segmentado", "Onde a rede vê opacidades", "não localizam doença")),
    ],
)
def test_a_third_classifier_has_its_map_beside_those_that_locate(
    language: str, expected: tuple[str, ...], tmp_path: Path
) -> None:
    label = SeriesLabel(software_version="0.1.0", language=language)
    shown = material(maps=1)
    (axial,) = shown.attention
    maps = tuple(
        replace(
            axial,
            projection=projection,
            attention=replace(axial.attention, located=projection != "volume"),
        )
        for projection in ("axial", "sagittal", "volume")
    )
    page = ct_pdf(three_classifiers(), material=replace(shown, attention=maps), label=label)
    text = " ".join(words(page, tmp_path).split())
    for part in expected:
        assert part in text
    assert_nothing_overlaps(boxes(page, tmp_path))


def test_each_classifier_of_a_report_is_named_with_what_it_read() -> None:
    report = ct_report(three_classifiers(), outlined=True)
    third = group(report, "classifier-ct-volume-volume")
    said = {
        item.ConceptNameCodeSequence[0].CodeMeaning: item.TextValue
        for item in third.ContentSequence
        if item.ValueType == "TEXT"
    }
    assert said["Algorithm Name"] == "ct-volume"
    assert "projection=volume" in said["Algorithm Parameters"]
    assert numbers(third)["Probability"] == pytest.approx(0.91)


@needs_poppler
def test_where_neither_marks_anything_there_is_no_agreement(tmp_path: Path) -> None:
    clear = replace(both(None, 0.0), lungs=measurements((2000.0, 0.0), (1800.0, 0.0)))
    assert f"{SECOND} marks no opacities either." in words(ct_pdf(clear), tmp_path)
    second = group(ct_report(clear, tied=False), f"beside-{SECOND}")
    assert numbers(second) == {}
    assert coded(second, "Presence") == ["Absent"]


def test_the_route_tells_both() -> None:
    told = as_json(both())
    assert told["lungs"]["model"] == "ct-segmentation"
    (second,) = told["beside"]
    assert (second["model"], second["agreement"]) == (SECOND, 0.7231)
    assert second["both"]["findings_ml"] == 120.0
    kept = kept_findings(both()).model_dump(mode="json")
    assert (kept["beside"][0]["model"], kept["beside"][0]["agreement"]) == (SECOND, 0.7231)
    assert [used.name for used in both().algorithms][-3:] == ["ct-lungs", "ct-segmentation", SECOND]
