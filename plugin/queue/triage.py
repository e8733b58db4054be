"""How a reading is sorted and found in the worklist: what it comes to, how urgent it is, where it is from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plugin.domain.kinds import Impression
from plugin.domain.outcome import KeptClassification, Outcome, outcome_of
from plugin.results.statement import Answer

_IMPRESSIONS = {
    Answer.LIKELY: Impression.POSITIVE,
    Answer.MARKED: Impression.POSITIVE,
    Answer.SUSPECTED: Impression.POSITIVE,
    Answer.BORDERLINE: Impression.BORDERLINE,
    Answer.UNLIKELY: Impression.NEGATIVE,
    Answer.FEW_MARKED: Impression.NEGATIVE,
    Answer.NONE_MARKED: Impression.NEGATIVE,
    Answer.NOT_SUSPECTED: Impression.NEGATIVE,
}

_RANKS = {Impression.POSITIVE: 4.0, Impression.BORDERLINE: 2.0, Impression.NEGATIVE: 0.0}
"""Two apart: a score is at most 1 above or below its operating point."""

UNREAD = -2.0
"""How urgent what has not been read is: it comes after all that has."""


def answer_of(outcome: Outcome) -> Answer | None:
    """What a reading came to; worked out where an older version did not write it down."""
    if outcome.answer is not None:
        return Answer(outcome.answer) if outcome.answer in list(Answer) else None
    found = outcome.findings
    if found is not None and found.lungs is not None:
        return Answer.MARKED if found.lungs.both.percent > 0 else Answer.NONE_MARKED
    if not outcome.deciding:
        return None
    return Answer.SUSPECTED if _called(outcome) else Answer.NOT_SUSPECTED


def impression_of(outcome: Outcome) -> Impression | None:
    """What a reading comes to; None where it says nothing. One that is negative though a classifier calls its
    finding is borderline."""
    answer = answer_of(outcome)
    impression = None if answer is None else _IMPRESSIONS.get(answer)
    if impression is Impression.NEGATIVE and _called(outcome):
        return Impression.BORDERLINE
    return impression


def urgency_of(outcome: Outcome) -> float:
    """What is positive first, then what is borderline; among these the higher above its operating point."""
    impression = impression_of(outcome)
    if impression is None:
        return UNREAD
    return _RANKS[impression] + max((_margin(said) for said in outcome.deciding), default=0.0)


def columns(outcome: Mapping[str, Any] | None, series: str) -> dict[str, Any]:
    """The values of the ledger's columns that a page of the worklist is filtered and ordered by."""
    known = outcome_of(outcome, series)
    if known is None:
        return {"station": "", "impression": None, "urgency": UNREAD}
    return {
        "station": known.station[:64],
        "impression": impression_of(known),
        "urgency": urgency_of(known),
    }


def _called(outcome: Outcome) -> bool:
    return any(said.positive for said in outcome.deciding)


def _margin(said: KeptClassification) -> float:
    """How far the score of a finding is above its operating point; 0 where an older version wrote it."""
    finding = said.finding
    if finding is None or finding not in said.probabilities or finding not in said.thresholds:
        return 0.0
    return said.probabilities[finding] - said.thresholds[finding]
