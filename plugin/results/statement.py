"""The one answer that the findings amount to, before it is put into words.

Where all parts of a CT's reading are joined, that is the answer. Else, where a network outlines opacities,
what it marks is the answer, and the classifiers agree with it or do not: the outlines are the firmer
evidence. Without outlines the classifiers are the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from plugin.domain.findings import (
    Classification,
    FigureKind,
    Findings,
    LungMeasurements,
    Severity,
)
from plugin.domain.kinds import LUNGS_CUT, Modality

_MOSTLY = 2 / 3
"""The share of the opacities from which on they are mostly on one side."""
_ONLY = 0.99


class Tone(StrEnum):
    """How serious an answer is."""

    CALM = "calm"
    NOTICE = "notice"
    ALERT = "alert"


class Answer(StrEnum):
    """What the findings amount to."""

    REJECTED = "rejected"
    """The series was not read."""
    LIKELY = "likely"
    """All parts of a CT's reading together call opacities."""
    UNLIKELY = "unlikely"
    """All parts together do not call any."""
    MARKED = "marked"
    """Opacities are marked in the lungs."""
    FEW_MARKED = "few_marked"
    """No more is marked than on average in lungs without opacities."""
    NONE_MARKED = "none_marked"
    SUSPECTED = "suspected"
    """Nothing is outlined; a classifier calls its finding."""
    BORDERLINE = "borderline"
    """All parts together are borderline. Or nothing is outlined and no classifier clearly calls its finding,
    but one is borderline."""
    NOT_SUSPECTED = "not_suspected"
    NOTHING_SAID = "nothing_said"
    """There are neither lungs nor classifiers."""


class Spread(StrEnum):
    """On which side the opacities are."""

    RIGHT_ONLY = "right_only"
    MOSTLY_RIGHT = "mostly_right"
    LEFT_ONLY = "left_only"
    MOSTLY_LEFT = "mostly_left"
    BOTH = "both"


@dataclass(frozen=True, kw_only=True)
class Statement:
    """The answer, how it is to be taken, and how many of the classifiers call their finding."""

    answer: Answer
    tone: Tone
    positive: int
    classifiers: int


def state(findings: Findings) -> Statement:
    """What the findings of a series amount to."""
    said = findings.classifications
    positive = sum(classification.positive for classification in said)
    answer = _answer(findings)
    return Statement(
        answer=answer,
        tone=_tone(answer, findings.modality, positive),
        positive=positive,
        classifiers=len(said),
    )


def rejected(findings: Findings) -> bool:
    """True when a remark ended the reading."""
    return any(remark.severity is Severity.REJECT for remark in findings.remarks)


def cut(findings: Findings) -> bool:
    """True when part of the lungs lies outside the images."""
    return bool(findings.codes & LUNGS_CUT)


def spread(lungs: LungMeasurements) -> Spread:
    """On which side the opacities are, by their volume."""
    right = lungs.right.findings_ml / lungs.findings_ml if lungs.findings_ml > 0 else 0.5
    if right >= _ONLY:
        return Spread.RIGHT_ONLY
    if right >= _MOSTLY:
        return Spread.MOSTLY_RIGHT
    if right <= 1 - _ONLY:
        return Spread.LEFT_ONLY
    return Spread.MOSTLY_LEFT if right <= 1 - _MOSTLY else Spread.BOTH


def _answer(findings: Findings) -> Answer:
    if rejected(findings):
        return Answer.REJECTED
    if findings.joined is not None:
        return _joined(findings.joined)
    if findings.lungs is not None:
        return _marked(findings.lungs)
    return _classified(findings.classifications)


def _joined(said: Classification) -> Answer:
    if said.borderline:
        return Answer.BORDERLINE
    return Answer.LIKELY if said.positive else Answer.UNLIKELY


def _marked(lungs: LungMeasurements) -> Answer:
    if lungs.findings_ml <= 0:
        return Answer.NONE_MARKED
    usual = lungs.algorithm.figure(FigureKind.FALSE_SHARE)
    if usual is not None and lungs.percent <= usual.value:
        return Answer.FEW_MARKED
    return Answer.MARKED


def _classified(classifications: Sequence[Classification]) -> Answer:
    if not classifications:
        return Answer.NOTHING_SAID
    if any(said.positive and not said.borderline for said in classifications):
        return Answer.SUSPECTED
    if any(said.borderline for said in classifications):
        return Answer.BORDERLINE
    return Answer.NOT_SUSPECTED


def _tone(answer: Answer, modality: Modality, positive: int) -> Tone:
    if answer in {Answer.REJECTED, Answer.LIKELY, Answer.SUSPECTED} or (answer is Answer.MARKED and positive):
        return Tone.ALERT
    if answer in {Answer.MARKED, Answer.BORDERLINE, Answer.NOTHING_SAID} or positive:
        return Tone.NOTICE
    # A classifier alone does not see enough of a CT to be calm about.
    return Tone.NOTICE if modality == Modality.CT and answer is Answer.NOT_SUSPECTED else Tone.CALM
