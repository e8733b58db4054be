"""What was found, in a few sentences: the same in the SR and on the PDF.

In the order in which a radiologist asks: the opacities, what the classifiers make of them, what cannot be
told, and how good the networks were where they were measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from plugin.domain.findings import (
    BORDERLINE,
    Classification,
    Findings,
    LungMeasurements,
    Remark,
    near,
)
from plugin.domain.kinds import Modality, RemarkCode
from plugin.results.performance import performance
from plugin.results.statement import Answer, Statement, Tone, cut, rejected, spread, state
from plugin.results.texts import Texts

_SAID_ANYWAY = {
    RemarkCode.NO_LUNGS,
    RemarkCode.NOT_SEGMENTED,
    RemarkCode.NO_FINDINGS,
    RemarkCode.FINDINGS_NOT_CALLED,
}

_MARKS = {Answer.MARKED, Answer.FEW_MARKED, Answer.NONE_MARKED}
"""The answers that come from outlines."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """The Structured Report of an earlier result, by the four UIDs that a reference to it needs."""

    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """An earlier result of the same person: the day of its images and the opacities in their lungs.

    Percentages 0 to 100 of both lungs and of each, None where they are not known; ``report`` is the
    Structured Report that says so, None where the PACS no longer holds it.
    """

    day: date
    percent: float
    right_percent: float | None = None
    left_percent: float | None = None
    findings_ml: float | None = None
    report: Report | None = None


def headline(findings: Findings, texts: Texts) -> tuple[str, Tone]:
    """The answer in one line, without a full stop, and how serious it is."""
    said = state(findings)
    if findings.joined is not None:
        return _joined_words(said, findings, texts), said.tone
    words = _answer_words(said, findings, texts)
    if findings.lungs is not None and said.classifiers:
        words = f"{words}; {_agreement(said, texts)}"
    elif findings.modality == Modality.CT and said.answer is not Answer.REJECTED:
        words = f"{words}; {texts(_without_lungs(findings))}"
    return words, said.tone


def summarise(findings: Findings, texts: Texts, history: Sequence[Earlier] = ()) -> str:
    """One paragraph in the language of ``texts`` that a reader understands without the numbers' context.

    Of a rejected series it has every reason; the remarks on one that was read stand for themselves.
    """
    if rejected(findings):
        reasons = " ".join(sentence(remark, texts) for remark in noted(findings))
        return f"{texts('summary.rejected', reasons=reasons)} {texts('disclaimer')}"
    parts = [
        f"{headline(findings, texts)[0]}.",
        margin(findings, texts),
        *(opinion(said, texts) for said in findings.opinions),
        narrative(findings, texts, history),
        *measured(findings, texts),
    ]
    return " ".join(part for part in [*parts, texts("disclaimer")] if part)


def margin(findings: Findings, texts: Texts) -> str:
    """How far what is marked may lie from what an expert would outline; empty where that was not measured."""
    drawn = None if findings.lungs is None else findings.lungs.drawn
    if drawn is None:
        return ""
    (low, high), (low_percent, high_percent) = drawn.findings_ml, drawn.percent
    return texts(
        "margin.drawn",
        low=texts.number(low),
        high=texts.number(high),
        low_percent=texts.number(low_percent),
        high_percent=texts.percent(high_percent),
        extent=extent(findings, texts),
        patients=drawn.patients,
    )


def narrative(findings: Findings, texts: Texts, history: Sequence[Earlier] = ()) -> str:
    """What the findings cannot tell, and how they compare with earlier ones. The headline and the numbers
    stand beside it. Empty for a rejected series."""
    if rejected(findings):
        return ""
    parts = [texts(f"untold.{key}", band=texts.number(100 * BORDERLINE)) for key in _untold(findings)]
    if findings.lungs is not None and history:
        parts.append(course_sentence(findings.lungs.percent, history, texts))
    return " ".join(parts)


def measured(findings: Findings, texts: Texts) -> list[str]:
    """How good each network was when it was measured, a sentence for each."""
    return [
        texts("measured.of", model=algorithm.name, figures=performance(algorithm, texts))
        for algorithm in findings.algorithms
    ]


def noted(findings: Findings) -> list[Remark]:
    """The remarks to be noted, without those that the results already make."""
    if rejected(findings):
        return list(findings.remarks)
    return [remark for remark in findings.remarks if remark.code not in _SAID_ANYWAY]


def sentence(remark: Remark, texts: Texts) -> str:
    """A remark as a sentence in the language of ``texts``; the code's own words where that has none, or
    lacks a value."""
    words = texts.optional(f"remark.{remark.code}", "{}")
    values = {name: texts.localised(value) for name, value in remark.values}
    try:
        said = words.format(remark.message.rstrip("."), **values)
    except KeyError:
        said = remark.message.rstrip(".")
    return f"{said[:1].upper()}{said[1:]}."


def meaning(words: str, texts: Texts) -> str:
    """The meaning of a class, as its card has it or in the language of ``texts`` where that is known."""
    return texts.optional(f"meaning.{words}", words)


def opinion(classification: Classification, texts: Texts) -> str:
    """What one classifier says, with its score and its operating point."""
    return texts(
        "summary.opinion",
        model=classification.algorithm.name,
        where=where(classification, texts),
        answer=answer(classification, texts),
        score=score(classification, texts),
        threshold=operating_point(classification, texts),
    )


def answer(classification: Classification, texts: Texts) -> str:
    """Whether the finding was called, in words: positive, negative, or borderline on one side."""
    said = "positive" if classification.positive else "negative"
    return texts(f"answer.borderline_{said}" if classification.borderline else f"answer.{said}")


def score(classification: Classification, texts: Texts) -> str:
    """The finding's score from 0 to 100."""
    return score_of(classification.finding.probability, classification.finding.threshold, texts)


def score_of(probability: float, limit: float, texts: Texts) -> str:
    """A probability (0 to 1) as a score from 0 to 100; near its operating point ``limit`` with a decimal,
    rounded away from it, so that a negative score never reads like the operating point."""
    value = round(100 * probability, 6)
    if not near(probability, limit):
        return texts.score(value)
    away = math.ceil if probability >= limit else math.floor
    return texts.number(away(round(10 * value, 4)) / 10, 1)


def operating_point(classification: Classification, texts: Texts) -> str:
    """The score from which on the finding is called."""
    return threshold(classification.finding.threshold, texts)


def threshold(probability: float, texts: Texts) -> str:
    """An operating point (0 to 1) as a score, rounded up to one decimal: what reaches it is called."""
    value = math.ceil(round(1000 * probability, 4)) / 10
    return texts.number(value, 0 if value.is_integer() else 1)


def where(classification: Classification, texts: Texts) -> str:
    """What the classifier looked at: a projection of the CT, or the X-ray."""
    return texts(f"projection.{classification.projection or 'none'}")


def extent(findings: Findings, texts: Texts) -> str:
    """What percentages are of: the lungs, or as much of them as the images hold."""
    return texts("extent.imaged" if cut(findings) else "extent.whole")


def latest(history: Sequence[Earlier]) -> Earlier:
    """The last of the earlier results. Raises ValueError where there is none."""
    return max(history, key=lambda earlier: earlier.day)


def course_sentence(percent: float, history: Sequence[Earlier], texts: Texts) -> str:
    """The change in the percentage of lung involved since the last of the earlier results."""
    before = latest(history)
    # Of the numbers as they are said, so that the reader's own subtraction gives the same.
    change = round(percent, 1) - round(before.percent, 1)
    return texts(
        "summary.course",
        date=texts.date(before.day),
        change=texts.signed(change, 1),
        before=texts.percent(before.percent, 1),
        now=texts.percent(percent, 1),
    )


def _joined_words(said: Statement, findings: Findings, texts: Texts) -> str:
    """What all parts come to together, then what is marked."""
    words = texts(f"joined.{said.answer}")
    if findings.lungs is None or findings.lungs.findings_ml <= 0:
        return f"{words}; {texts('joined.none_marked')}"
    return f"{words}; {_amount('joined.marked', findings, findings.lungs, texts)}"


def _amount(key: str, findings: Findings, lungs: LungMeasurements, texts: Texts) -> str:
    """A text that says how much is marked, and where."""
    return texts(
        key,
        volume=texts.volume(lungs.findings_ml),
        percent=texts.percent(lungs.percent, 1),
        extent=extent(findings, texts),
        side=texts(f"spread.{spread(lungs)}"),
    )


def _answer_words(said: Statement, findings: Findings, texts: Texts) -> str:
    if said.answer in _MARKS:
        return _marked(said.answer, findings, findings.lungs, texts)
    if said.answer in {Answer.REJECTED, Answer.NOTHING_SAID}:
        return texts(f"headline.{said.answer}")
    finding = findings.classifications[0].finding
    if of_pneumonia(finding.meaning):
        words = texts(f"headline.{said.answer}")
    else:
        words = texts(f"headline.any.{said.answer}", meaning=meaning(finding.meaning, texts))
    if said.answer is Answer.SUSPECTED and said.positive < said.classifiers:
        words = f"{words} ({texts('agree.many', positive=said.positive, count=said.classifiers)})"
    return words


def of_pneumonia(words: str) -> bool:
    """Whether a card means by its finding the opacities of a pneumonia as in COVID-19."""
    return "opacit" in words.lower() and "covid" in words.lower()


def _marked(said: Answer, findings: Findings, lungs: LungMeasurements | None, texts: Texts) -> str:
    if lungs is None or said is Answer.NONE_MARKED:
        return texts("headline.none_marked")
    return _amount(f"headline.{said}", findings, lungs, texts)


def _agreement(said: Statement, texts: Texts) -> str:
    """How many classifiers see opacities, as a clause after what is marked."""
    kind = "suspect" if said.answer is Answer.NONE_MARKED else "agree"
    if said.classifiers == 1:
        return texts(f"{kind}.only_yes" if said.positive else f"{kind}.only_no")
    if said.classifiers == 2:
        return texts(f"{kind}.{('neither', 'one_of_two', 'both')[said.positive]}")
    return texts(f"{kind}.many", positive=said.positive, count=said.classifiers)


def _without_lungs(findings: Findings) -> str:
    """Why a CT has no volumes, where it has none; otherwise that no classifier was in use."""
    if findings.lungs is not None:
        return "headline.no_classifier"
    return "headline.no_lungs" if RemarkCode.NO_LUNGS in findings.codes else "headline.not_segmented"


def _untold(findings: Findings) -> list[str]:
    """The sentences, by name, on what the findings cannot tell."""
    said = state(findings)
    seen = said.answer in {Answer.LIKELY, Answer.MARKED, Answer.SUSPECTED, Answer.BORDERLINE}
    keys = []
    if seen:
        keys.append("cause_xray" if findings.modality == Modality.XRAY else "cause_ct")
    if said.answer in {Answer.UNLIKELY, Answer.NONE_MARKED, Answer.FEW_MARKED, Answer.NOT_SUSPECTED}:
        keys.append("not_ruled_out")
    averaged = [c for c in findings.classifications if c.projection != "volume" and not c.positive]
    if said.answer in _MARKS and said.answer is not Answer.NONE_MARKED and averaged:
        keys.append("outlines_firmer")
    if any(classification.borderline for classification in findings.deciding):
        keys.append("borderline")
    if findings.lungs is not None and cut(findings):
        keys.append("cut")
    return keys
