"""How far the volumes may be off: from a card's measured errors to the route, the SR and the page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError
from results_factory import ERRORS, algorithm, ct_findings, measurements, with_margin
from test_results_beside import assert_nothing_overlaps
from test_results_pdf import HISTORY, boxes, ct_pdf, material, needs_poppler, words
from test_results_sr import ct_report, group, numbers
from tiny_models import FINDINGS, LUNG, write_segmenter

from plugin.domain.findings import Findings, as_json
from plugin.domain.outcome import KeptFindings, kept_findings
from plugin.domain.volume_errors import VolumeErrors
from plugin.models.cards import read_card
from plugin.models.loading import load_model
from plugin.models.session import CPU
from plugin.results.common import SeriesLabel
from plugin.results.summary import summarise
from plugin.results.texts import Texts

SAID = {
    "en": "an expert may outline 82 to 980 mL (1 to 23 % of the lungs). 95 % range",
    "pt": "um especialista pode delimitar de 82 a 980 mL (1 a 23 % dos pulmões). Intervalo de 95 %",
}
KNOWN = ct_findings(lungs=with_margin())
NONE = ct_findings()


@pytest.mark.parametrize(
    ("percent", "expected"),
    [
        (1.0, ((0, 7), (0, 350))),  # 6 * 0.5 is below the floor: none may be there
        (10.0, ((2, 25), (120, 1300))),
        (40.0, ((17, 85), (870, 4300))),
    ],
)
def test_errors_grow_with_the_amount_and_do_not_vanish_with_it(
    percent: float, expected: tuple[tuple[float, float], tuple[float, float]]
) -> None:
    drawn = ERRORS.drawn(findings_ml=50 * percent, lungs_ml=5000)
    assert drawn is not None
    assert (drawn.percent, drawn.findings_ml, drawn.patients) == (*expected, 11)


@pytest.mark.parametrize("percent", [0.0, 0.99, 40.01])
def test_nothing_is_said_of_readings_that_were_not_measured(percent: float) -> None:
    assert ERRORS.drawn(findings_ml=50 * percent, lungs_ml=5000) is None


def test_without_lungs_there_is_no_share() -> None:
    assert ERRORS.model_copy(update={"least_percent": 0.0}).drawn(findings_ml=0, lungs_ml=0) is None


def test_there_is_no_more_than_the_lungs() -> None:
    whole = ERRORS.model_copy(update={"most_percent": 100.0}).drawn(findings_ml=4000, lungs_ml=5000)
    assert whole is not None
    assert (whole.percent[1], whole.findings_ml[1]) == (100.0, 5000.0)


@pytest.mark.parametrize("change", [{"low": 1.1}, {"high": 0.9}, {"least_percent": 50}, {"patients": 2}])
def test_errors_that_leave_out_the_reading_itself_are_none(change: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        VolumeErrors.model_validate(ERRORS.model_dump() | change)


def test_the_route_and_the_ledger_tell_it() -> None:
    told = {"percent": (1.0, 23.0), "findings_ml": (82.0, 980.0), "patients": 11}
    assert as_json(KNOWN)["lungs"]["drawn"] == told
    assert as_json(NONE)["lungs"]["drawn"] is None
    kept = kept_findings(KNOWN).model_dump(mode="json")
    assert kept["lungs"]["drawn"] == json.loads(json.dumps(told))
    del kept["lungs"]["drawn"]  # as an older version wrote it
    older = KeptFindings.model_validate(kept).lungs
    assert older is not None
    assert older.drawn is None


@pytest.mark.parametrize("language", SAID)
def test_the_summary_has_one_sentence_of_it(language: str) -> None:
    texts = Texts(language)
    assert SAID[language] in summarise(KNOWN, texts)
    assert summarise(KNOWN, texts).count("95 %") == summarise(NONE, texts).count("95 %") + 1


def test_the_report_has_it_as_distances_in_the_unit_of_the_number() -> None:
    report = ct_report(KNOWN)
    for what, name, unit, above, below in (
        ("findings", "Volume of findings in both lungs", "mL", 980 - 379.75, 379.75 - 82),
        ("lungs", "Percentage of both lungs involved", "%", 23 - 8.835505, 8.835505 - 1),
    ):
        number = next(
            item
            for item in group(report, what).ContentSequence
            if item.ValueType == "NUM" and item.ConceptNameCodeSequence[0].CodeMeaning == name
        )
        properties = [i for i in number.ContentSequence if i.RelationshipType == "HAS PROPERTIES"]
        assert [(i.ConceptNameCodeSequence[0].CodeValue, i.ValueType) for i in properties] == [
            ("371886008", "NUM"),
            ("371885007", "NUM"),
        ]
        values = [item.MeasuredValueSequence[0] for item in properties]
        assert [float(value.NumericValue) for value in values] == [
            pytest.approx(above, abs=1e-4),
            pytest.approx(below, abs=1e-4),
        ]
        units = {value.MeasurementUnitsCodeSequence[0].CodeValue for value in values}
        assert units == {unit}
    assert numbers(group(report, "findings")) == numbers(group(ct_report(NONE), "findings"))


def test_a_report_without_it_has_no_uncertainty() -> None:
    assert "371886008" not in str(ct_report(NONE))
    assert "371886008" in str(ct_report(KNOWN))


def crowded() -> Findings:
    second = replace(measurements(), algorithm=algorithm("ct-segment-unetpp-compact"), agreement=0.72)
    return replace(KNOWN, beside=(second,))


@needs_poppler
@pytest.mark.parametrize("language", SAID)
def test_the_page_says_it_below_the_volumes(language: str, tmp_path: Path) -> None:
    label = SeriesLabel(software_version="0.1.0", language=language)
    page = ct_pdf(crowded(), history=HISTORY, material=material(maps=1), label=label)
    assert SAID[language] in " ".join(words(page, tmp_path).split())
    assert_nothing_overlaps(boxes(page, tmp_path))


def test_another_threshold_has_other_errors(tmp_path: Path) -> None:
    own = write_segmenter(
        tmp_path, "bands", shape=(1, 1, 8, 8), bands=[(LUNG, -950, -400), (FINDINGS, -600, 100)]
    )
    card = json.loads((own / "card.json").read_text()) | {"volume_errors": ERRORS.model_dump()}
    (own / "card.json").write_text(json.dumps(card))
    measured = load_model(own, thresholds={}, providers=[CPU], threads=1)
    moved = load_model(own, thresholds={"findings": 0.4}, providers=[CPU], threads=1)
    assert measured.algorithm.volume_errors == read_card(own).volume_errors == ERRORS
    assert moved.algorithm.volume_errors is None
