"""The answer in a line and in sentences, the same on the page and in the report."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from results_factory import (
    IDENTITY,
    LABEL,
    classification,
    ct_findings,
    grid,
    measurements,
    volume,
    xray_findings,
)

from plugin.domain.findings import (
    Classification,
    FigureKind,
    Findings,
    LungMeasurements,
    Measured,
    Remark,
    Severity,
    volumes_json,
)
from plugin.models.cards import read_cards
from plugin.models.figures import measured
from plugin.models.lineup import ROLES, default_model
from plugin.results.sr.report import build_sr
from plugin.results.statement import Tone
from plugin.results.summary import (
    Earlier,
    answer,
    course_sentence,
    headline,
    narrative,
    noted,
    of_pneumonia,
    operating_point,
    score,
    summarise,
)
from plugin.results.texts import LANGUAGES, Texts
from tests.conftest import ROOT

EN = Texts("en")
UNCALLED = Remark(
    code="findings_not_called",
    severity=Severity.WARN,
    message="no classifier calls the findings that take 8.8 % of the lungs",
)
CUT = Remark(code="lungs_cut_base", severity=Severity.WARN, message="the lungs run out of the images")
NO_LUNGS = Remark(code="no_lungs", severity=Severity.WARN, message="no lungs were found (12 mL)")
CALM = tuple(classification(f"ct-{p}", p, 0.1) for p in ("axial", "sagittal"))
BOTH = tuple(classification(f"ct-{p}", p, 0.9) for p in ("axial", "sagittal"))
NOT_CALLED = replace(ct_findings((UNCALLED,)), classifications=CALM)
REJECTED = Findings(modality="ct", remarks=(replace(UNCALLED, code="x", severity=Severity.REJECT),))
BORDERLINE = "Borderline: opacities neither suspected nor ruled out"
CLEAR = measurements((2000.0, 0.0), (1800.0, 0.0))


def few() -> LungMeasurements:
    """Less marked than on average in lungs without opacities."""
    usual = Measured(kind=FigureKind.FALSE_SHARE, value=0.16, interval=(0.06, 0.34), n=5)
    lungs = measurements((2000.0, 2.0), (1800.0, 3.0))
    return replace(lungs, algorithm=replace(lungs.algorithm, measured=(usual,)))


@pytest.mark.parametrize(
    ("findings", "tone", "words"),
    [
        (
            ct_findings(),
            Tone.ALERT,
            "Opacities marked: 380 mL (8.8 % of the lungs), mostly right; one of two classifiers agrees",
        ),
        (
            NOT_CALLED,
            Tone.NOTICE,
            "Opacities marked: 380 mL (8.8 % of the lungs), mostly right; neither classifier agrees",
        ),
        (
            replace(ct_findings((CUT,)), classifications=BOTH),
            Tone.ALERT,
            "Opacities marked: 380 mL (8.8 % of the lung on the images), mostly right;"
            " both classifiers agree",
        ),
        (
            replace(ct_findings(lungs=CLEAR), classifications=CALM),
            Tone.CALM,
            "No opacities found; small ones may be missed; neither classifier suspects any",
        ),
        (
            ct_findings(lungs=CLEAR),
            Tone.NOTICE,
            "No opacities found; small ones may be missed; but one of two classifiers suspects some",
        ),
        (
            replace(ct_findings(lungs=few()), classifications=CALM),
            Tone.CALM,
            "Hardly any opacities marked: 5.0 mL (0.1 % of the lungs), no more than the software marks on"
            " average where there are none; neither classifier agrees",
        ),
        (
            replace(ct_findings(), classifications=()),
            Tone.NOTICE,
            "Opacities marked: 380 mL (8.8 % of the lungs), mostly right; no classifier in use",
        ),
        (
            replace(ct_findings(), lungs=None),
            Tone.ALERT,
            "Lung opacities suspected: COVID-19 or another pneumonia, which this software cannot tell apart "
            "(1 of 2 classifiers agree); lungs and opacities not segmented",
        ),
        (
            replace(ct_findings((NO_LUNGS,)), lungs=None, classifications=CALM),
            Tone.NOTICE,
            "No opacities suspected; small ones may be missed; no lungs found on the images",
        ),
        (
            xray_findings(),
            Tone.ALERT,
            "Lung opacities suspected: COVID-19 or another pneumonia, which this software cannot tell apart",
        ),
        (xray_findings(probability=0.2), Tone.CALM, "No opacities suspected; small ones may be missed"),
        (
            xray_findings(probability=0.55),
            Tone.NOTICE,
            "Borderline: opacities neither suspected nor ruled out",
        ),
        (xray_findings(probability=0.5), Tone.NOTICE, BORDERLINE),
        (REJECTED, Tone.ALERT, "This series was not analysed"),
    ],
)
def test_the_headline_and_its_tone(findings: Findings, tone: Tone, words: str) -> None:
    assert headline(findings, EN) == (words, tone)


@pytest.mark.parametrize(
    ("right", "left", "side"),
    [
        (300.0, 0.0, "in the right lung only"),
        (300.0, 100.0, "mostly right"),
        (100.0, 120.0, "on both sides"),
        (30.0, 100.0, "mostly left"),
        (0.0, 7.0, "in the left lung only"),
    ],
)
def test_the_side_of_the_opacities(right: float, left: float, side: str) -> None:
    lungs = measurements((2300.0, right), (1900.0, left))
    assert f", {side};" in headline(ct_findings(lungs=lungs), EN)[0]


def film(probability: float, threshold: float) -> Classification:
    """An X-ray classifier with that score and operating point."""
    said = classification("xray", None, probability)
    finding = replace(said.finding, threshold=threshold)
    called = "COVID" if probability >= threshold else "NON-COVID"
    return replace(said, classes=(finding, *said.others), called=called)


@pytest.mark.parametrize(
    ("probability", "threshold", "shown", "from_", "said"),
    [
        (0.4991, 0.5, "49.9", "50", "borderline, just below the operating point"),
        (0.49999, 0.5, "49.9", "50", "borderline, just below the operating point"),
        (0.5, 0.5, "50.0", "50", "borderline, just above the operating point"),
        (0.3386, 0.3387, "33.8", "33.9", "borderline, just below the operating point"),
        (0.3387, 0.3387, "33.9", "33.9", "borderline, just above the operating point"),
        (0.389, 0.3387, "39", "33.9", "positive"),
        (0.83, 0.53, "83", "53", "positive"),
        (0.002, 0.53, "< 1", "53", "negative"),
        (0.9999, 0.53, "> 99", "53", "positive"),
    ],
)
def test_a_score_never_contradicts_what_was_called(
    probability: float, threshold: float, shown: str, from_: str, said: str
) -> None:
    one = film(probability, threshold)
    assert (score(one, EN), operating_point(one, EN), answer(one, EN)) == (shown, from_, said)


@pytest.mark.parametrize("threshold", [0.05, 0.3387, 0.5, 0.53, 0.8352, 0.95])
def test_a_negative_score_reads_below_the_operating_point(threshold: float) -> None:
    for offset in (-0.06, -0.04999, -0.001, -1e-5, 0.0, 1e-5, 0.001, 0.04999, 0.06):
        one = film(threshold + offset, threshold)
        if not 0 <= one.finding.probability <= 1:
            continue
        read = float(score(one, EN).lstrip("<> "))
        assert (read >= float(operating_point(one, EN))) == one.positive


@pytest.mark.parametrize("probability", [0.05, 0.39, 0.55, 0.83])
def test_no_second_percentage_is_given(probability: float) -> None:
    """Only the finding's score is said: nothing that adds up with it, and no percentage."""
    said = summarise(xray_findings(probability=probability), EN)
    assert "%" not in said.split("Measured for")[0]
    assert "No COVID-19 pneumonia" not in said
    assert said.count(" of 100") == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_summary_in_the_report_begins_with_the_headline(language: str) -> None:
    texts = Texts(language)
    label = replace(LABEL, language=language)
    report = build_sr(findings=NOT_CALLED, sources=volume(grid()).sources, identity=IDENTITY, label=label)
    said = [
        item.TextValue
        for group in report.ContentSequence
        for item in group.get("ContentSequence", [])
        if item.ValueType == "TEXT" and item.ConceptNameCodeSequence[0].CodeMeaning == "Summary"
    ]
    assert said == [summarise(NOT_CALLED, texts)]
    assert said[0].startswith(f"{headline(NOT_CALLED, texts)[0]}. ")
    assert texts.percent(8.8, 1) in said[0]


def test_what_the_headline_says_is_not_noted_once_more() -> None:
    other = replace(UNCALLED, code="thick_slices", message="the slices are thick")
    findings = replace(NOT_CALLED, remarks=(UNCALLED, other))
    assert noted(findings) == [other]
    assert narrative(findings, EN) in summarise(findings, EN)


def test_not_segmented_is_not_no_lungs() -> None:
    unsegmented = summarise(replace(ct_findings(), lungs=None), EN)
    assert "not segmented" in unsegmented
    assert "no lungs" not in unsegmented.lower()
    without = summarise(replace(ct_findings((NO_LUNGS,)), lungs=None), EN)
    assert "no lungs found on the images" in without
    assert "segmented" not in without


def test_what_cannot_be_told_is_said() -> None:
    assert "The software does not tell the cause" in narrative(ct_findings(), EN)
    assert "The outlines are the better evidence" in narrative(ct_findings(), EN)
    assert "does not rule out disease" in narrative(xray_findings(probability=0.2), EN)
    assert "within 5 points" in narrative(xray_findings(probability=0.5), EN)
    assert "Percentages are of the part of the lungs" in narrative(ct_findings((CUT,)), EN)
    assert narrative(REJECTED, EN) == ""


def test_the_words_beside_the_numbers_do_not_repeat_them() -> None:
    said = narrative(ct_findings(), EN)
    lungs = measurements()
    for number in (f"{lungs.percent:.1f}", f"{lungs.findings_ml:.0f}", f"{lungs.right.percent:.1f}", "83"):
        assert number not in said


def test_the_course_is_told_in_percentage_points() -> None:
    history = (Earlier(day=date(2024, 4, 1), percent=3.25), Earlier(day=date(2024, 5, 2), percent=12.5))
    assert (
        "Since 2024-05-02 the marked share of the lungs went from 12.5 % to 8.8 % (–3.7 percentage points)."
        in narrative(ct_findings(), EN, history)
    )


def test_the_change_is_that_of_the_numbers_beside_it() -> None:
    """14.245 to 10.66 is 14.2 to 10.7: a fall of 3.5, not of 3.6."""
    said = course_sentence(10.66, (Earlier(day=date(2024, 1, 15), percent=14.245),), EN)
    assert "from 14.2 % to 10.7 % (–3.5 percentage points)" in said


def test_measured_figures_stand_in_the_summary() -> None:
    figures = (
        Measured(kind=FigureKind.SENSITIVITY, value=0.7975, interval=(0.7512, 0.8378), n=400),
        Measured(kind=FigureKind.SPECIFICITY, value=0.6526, interval=(0.519, 0.7715), n=95),
    )
    plain = xray_findings()
    said = plain.classifications[0]
    known = replace(said, algorithm=replace(said.algorithm, measured=figures))
    summary = summarise(replace(plain, classifications=(known,)), EN)
    assert "sensitivity 80 % (75 % to 84 %; n = 400); specificity 65 % (52 % to 77 %; n = 95)" in summary
    assert "not measured at this operating point" in summarise(plain, EN)


CARDS, _ = read_cards(ROOT / "onnx_models")
DEFAULTS = sorted(name for role in ROLES if (name := default_model(role, CARDS.values())))


@pytest.mark.parametrize("name", [n for n in DEFAULTS if CARDS[n].task != "reject"])
def test_every_default_network_has_the_figures_that_the_page_shows(name: str) -> None:
    card = CARDS[name]
    kinds = {figure.kind for figure in measured(card.figures)}
    if card.task == "segment":
        wanted = {FigureKind.VOLUME_BIAS_ML, FigureKind.VOLUME_BIAS_POINTS, FigureKind.FALSE_SHARE}
    else:
        wanted = {FigureKind.SENSITIVITY, FigureKind.SPECIFICITY}
    assert kinds >= wanted


@pytest.mark.parametrize("name", [n for n in sorted(CARDS) if CARDS[n].task == "classify"])
def test_every_shipped_classifier_means_the_opacities_of_a_pneumonia(name: str) -> None:
    """What the headline says of them; a network that means something else is quoted by its card."""
    (output,) = (o for o in CARDS[name].outputs if o.meaning == "logits")
    (finding,) = (c for c in output.classes if c.role == "finding")
    assert of_pneumonia(finding.meaning)


def test_another_finding_is_called_by_its_name() -> None:
    said = xray_findings().classifications[0]
    finding = replace(said.finding, meaning="Pneumothorax")
    other = replace(xray_findings(), classifications=(replace(said, classes=(finding, *said.others)),))
    assert headline(other, EN)[0] == "Suspected: Pneumothorax"


def test_a_share_is_shown_alike_from_the_route_and_in_the_report() -> None:
    """733 of 5145 mL are 14.247 %: rounded to 14.25 on the way, a page would show 14.3."""
    share = volumes_json(5145.0, 733.0)["percent"]
    assert f"{share:.1f}" == f"{100 * 733 / 5145:.1f}" == "14.2"
    assert round(share, 2) == 14.25
