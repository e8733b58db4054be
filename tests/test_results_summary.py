"""The answer in a line and in sentences, the same on the page and in the report."""

from __future__ import annotations

from dataclasses import replace

import pytest
from results_factory import IDENTITY, LABEL, classification, ct_findings, grid, volume, xray_findings

from plugin.domain.findings import Findings, Remark, Severity
from plugin.results.sr.report import build_sr
from plugin.results.summary import Tone, headline, narrative, noted, summarise
from plugin.results.texts import LANGUAGES, Texts

UNCALLED = Remark(
    code="findings_not_called",
    severity=Severity.WARN,
    message="no classifier calls the findings that take 8.8 % of the lungs",
)
CALM = tuple(classification(f"ct-{p}", p, 0.1) for p in ("axial", "sagittal"))
NOT_CALLED = replace(ct_findings((UNCALLED,)), classifications=CALM)
REJECTED = Findings(modality="ct", remarks=(replace(UNCALLED, code="x", severity=Severity.REJECT),))


@pytest.mark.parametrize(
    ("findings", "tone", "words"),
    [
        (replace(NOT_CALLED, remarks=()), Tone.CALM, "negative"),
        (NOT_CALLED, Tone.NOTICE, "Opacities marked, called by no classifier"),
        (ct_findings(), Tone.ALERT, "the classifiers disagree (1 of 2 positive)"),
        (xray_findings(), Tone.ALERT, "positive"),
        (xray_findings(probability=0.2), Tone.CALM, "negative"),
        (REJECTED, Tone.ALERT, "not read"),
        (replace(ct_findings(), classifications=()), Tone.CALM, "no classifier in use"),
    ],
)
def test_the_headline_and_its_tone(findings: Findings, tone: Tone, words: str) -> None:
    said, how = headline(findings, Texts("en"))
    assert how is tone
    assert words in said


@pytest.mark.parametrize("language", LANGUAGES)
def test_findings_that_no_classifier_calls_come_first_in_the_report(language: str) -> None:
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
    assert narrative(findings, Texts("en")) in summarise(findings, Texts("en"))
    # Where nothing was measured there is no such headline, and the remark stays.
    assert noted(replace(findings, lungs=None)) == [UNCALLED, other]
