"""How an outcome names the networks of a reading, and how a ledger's entry is shown on the routes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from plugin.domain.kinds import Modality
from plugin.domain.outcome import KeptModel, KeptVerdict, Outcome, outcome_of
from plugin.models.lineup import Lineup
from plugin.queue.ledger import Entry
from plugin.queue.triage import answer_of


def models_of(lineup: Lineup, modality: Modality) -> tuple[KeptModel, ...]:
    """The networks that read a modality, as an outcome keeps them."""
    return tuple(
        KeptModel(
            name=model.card.name,
            version=model.card.version,
            task=model.card.task,
            sha256=model.card.sha256,
            provider=model.provider,
        )
        for model in lineup.of(modality)
    )


def entry_json(entry: Entry, holds: Callable[[str], bool]) -> dict[str, Any]:
    """A ledger's entry as ``GET /ai/series/{id}`` answers it.

    ``holds`` tells whether Orthanc still has an instance: a result that somebody deleted is no output any
    more and is named under ``gone``.
    """
    outcome = outcome_of(entry.outcome, entry.series)
    kept = (outcome or Outcome(state=entry.state)).as_json()
    gone = [stored for stored in (outcome.stored if outcome else ()) if not holds(stored)]
    return {
        "series": entry.series,
        "modality": entry.modality.value,
        "state": entry.state.value,
        "ahead": entry.first,
        "verdict": kept["verdict"] or KeptVerdict().model_dump(mode="json"),
        "findings": kept["findings"],
        "answer": answer_of(outcome) if outcome else None,
        "impression": entry.impression,
        "station": entry.station,
        "thumbnail": kept["thumbnail"],
        "outputs": {kind: None if stored in gone else stored for kind, stored in kept["outputs"].items()},
        "gone": gone,
        "models": kept["models"],
        "timings": kept["timings"],
        "attempts": entry.attempts,
        "error": entry.error,
        "superseded": kept["superseded"],
        "noted_at": entry.noted_at,
        "updated_at": entry.updated_at,
    }
