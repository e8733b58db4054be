"""``GET /ai/worklist``: what is being read, what waits, and a page of what has been read.

No patient data: who a series is of is for Orthanc to say, to those who may ask it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plugin.domain.kinds import Impression, Modality, State
from plugin.domain.outcome import KeptClassification, Outcome, outcome_of
from plugin.queue.ledger import Entry
from plugin.queue.triage import answer_of
from plugin.queue.worklist import Order, Place, Wanted, place_from, place_of
from plugin.service import Service
from plugin.web.http import HttpError, HttpRequest, count, number, one_of

_MOST = 200
_WAITING = 20
"""How many of the waiting series are named."""


def worklist(service: Service, request: HttpRequest) -> dict[str, Any]:
    """The answer to ``GET /ai/worklist``."""
    wanted = _wanted(request.arguments)
    running = service.running()
    ledger = service.ledger
    if ledger is None:
        return {"status": service.status(), "waiting": [], "series": [], "next": None}
    page = ledger.page(wanted)
    shown, more = page[: wanted.limit], len(page) > wanted.limit
    waiting = ledger.next_ones(_WAITING)
    busy = {one["series"] for one in running}
    return {
        "status": service.status(),
        "waiting": [_waiting(entry) for entry in waiting if entry.series not in busy],
        "series": [row(service, entry) for entry in shown],
        "next": _named(place_of(shown[-1], wanted.order)) if more else None,
    }


def row(service: Service, entry: Entry) -> dict[str, Any]:
    """One series in a few values: verdict, the firmest score beside its operating point, percentages."""
    outcome = outcome_of(entry.outcome, entry.series) or Outcome(state=entry.state)
    kept = outcome.as_json()
    return {
        "series": entry.series,
        "modality": entry.modality.value,
        "state": entry.state.value,
        "station": entry.station,
        "answer": answer_of(outcome),
        "impression": entry.impression,
        "reasons": [] if outcome.verdict is None else kept["verdict"]["reasons"],
        "score": _score(service, outcome),
        "percent": _percent(outcome),
        "thumbnail": kept["thumbnail"],
        "outputs": kept["outputs"],
        "error": entry.error,
        "noted_at": entry.noted_at,
        "updated_at": entry.updated_at,
        "review": next((one.decision.value for one in service.pacs.assessments(entry.series)), None),
    }


def finding_of(service: Service, said: KeptClassification) -> str | None:
    """The class that a classifier looks for; None where neither its answer nor its card tells."""
    if said.finding is not None:
        return said.finding
    joiner = service.lineup.ct_joiner
    if joiner is not None and joiner.card.name == said.model:
        return next(one.name for one in joiner.card.classes if one.role == "finding")
    for model in service.lineup.models:
        if model.card.name == said.model:
            names = [one.name for one in model.card.logits.classes if one.role == "finding"]
            return next((name for name in names if name in said.probabilities), None)
    return said.called if said.positive else None


def _score(service: Service, outcome: Outcome) -> dict[str, Any] | None:
    """The joined score; else that which is furthest above its operating point, or least below it."""
    scores = []
    for said in outcome.deciding:
        name = finding_of(service, said)
        if name is None or name not in said.thresholds:
            continue
        value, threshold = said.probabilities[name], said.thresholds[name]
        scores.append(
            (value - threshold, {"value": value, "threshold": threshold, "positive": said.positive})
        )
    return max(scores, key=lambda one: one[0])[1] if scores else None


def _percent(outcome: Outcome) -> dict[str, float] | None:
    lungs = outcome.findings.lungs if outcome.findings else None
    if lungs is None:
        return None
    return {"right": lungs.right.percent, "left": lungs.left.percent, "both": lungs.both.percent}


def _waiting(entry: Entry) -> dict[str, Any]:
    return {
        "series": entry.series,
        "modality": entry.modality.value,
        "noted_at": entry.noted_at,
        "due_at": entry.due_at,
        "attempts": entry.attempts,
        "error": entry.error,
    }


def stations(service: Service, _request: HttpRequest) -> list[str]:
    """The answer to ``GET /ai/stations``."""
    return [] if service.ledger is None else service.ledger.stations()


def _wanted(arguments: Mapping[str, str]) -> Wanted:
    series = arguments.get("series")
    order = one_of(arguments, "order", Order) or Order.LATEST
    return Wanted(
        state=one_of(arguments, "state", State),
        modality=one_of(arguments, "modality", Modality),
        impression=one_of(arguments, "impression", Impression),
        station=arguments.get("station") or None,
        begin=number(arguments, "from", 0.0) if arguments.get("from") else None,
        end=number(arguments, "to", 0.0) if arguments.get("to") else None,
        series=None if series is None else [name for name in series.split(",")[:_MOST] if name],
        order=order,
        after=_place(arguments.get("after"), order),
        limit=count(arguments, "limit", 50, _MOST),
    )


def _named(place: Place) -> str:
    return "_".join(value if isinstance(value, str) else repr(value) for value in place)


def _place(text: str | None, order: Order) -> Place | None:
    """Where a page goes on, as the page before it said."""
    if not text:
        return None
    try:
        return place_from(text.split("_"), order)
    except ValueError:
        raise HttpError(400, "after must be what the page before gave as next, in the same order") from None
