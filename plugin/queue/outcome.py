"""The outcome of a reading as JSON: what the ledger, the series' metadata and the routes keep of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from plugin.domain.findings import Findings, Verdict, as_json
from plugin.models.network import Model
from plugin.queue.ledger import Entry, State
from plugin.results.identity import KINDS


def outcome(
    *,
    state: State,
    content: str,
    lineup: str,
    models: Sequence[Model],
    timings: Mapping[str, float],
    verdict: Verdict | None = None,
    findings: Findings | None = None,
    outputs: Mapping[str, str] | None = None,
    superseded: Sequence[str] = (),
    error: str | None = None,
) -> dict[str, Any]:
    """One outcome. ``outputs``: Orthanc ids of the stored results by kind; ``timings`` in seconds.

    ``content`` and ``lineup`` are the fingerprints of what was read and of the models that read it.
    """
    return {
        "state": state.value,
        "content": content,
        "lineup": lineup,
        "verdict": None if verdict is None else _verdict_json(verdict),
        "findings": None if findings is None else as_json(findings),
        "outputs": {kind: (outputs or {}).get(kind) for kind in KINDS},
        "models": [_model_json(model) for model in models],
        "timings": {stage: round(seconds, 3) for stage, seconds in timings.items()},
        "superseded": list(superseded),
        "error": error,
    }


def stored_ids(kept: Mapping[str, Any] | None) -> list[str]:
    """The Orthanc ids of the results that an outcome names."""
    if kept is None:
        return []
    return [identifier for identifier in kept.get("outputs", {}).values() if identifier]


def is_settled_for(kept: Mapping[str, Any] | None, content: str, lineup: str) -> bool:
    """Whether an outcome answers for this content read by these models."""
    if kept is None or kept.get("state") not in (State.DONE, State.REJECTED):
        return False
    return (kept.get("content"), kept.get("lineup")) == (content, lineup)


def percent_involved(kept: Mapping[str, Any]) -> float | None:
    """The percentage of both lungs that the findings took, where an outcome measured it."""
    lungs = (kept.get("findings") or {}).get("lungs")
    return None if lungs is None else float(lungs["both"]["percent"])


def entry_json(entry: Entry) -> dict[str, Any]:
    """A ledger's entry as ``GET /ai/series/{id}`` answers it."""
    kept = entry.outcome or {}
    return {
        "series": entry.series,
        "modality": entry.modality,
        "state": entry.state.value,
        "verdict": kept.get("verdict") or {"accepted": None, "reasons": []},
        "findings": kept.get("findings"),
        "outputs": kept.get("outputs") or dict.fromkeys(KINDS),
        "models": kept.get("models", []),
        "timings": kept.get("timings", {}),
        "attempts": entry.attempts,
        "error": entry.error,
        "superseded": kept.get("superseded", []),
        "noted_at": entry.noted_at,
        "updated_at": entry.updated_at,
    }


def _verdict_json(verdict: Verdict) -> dict[str, Any]:
    return {"accepted": verdict.accepted, "reasons": [asdict(remark) for remark in verdict.remarks]}


def _model_json(model: Model) -> dict[str, str]:
    card = model.card
    return {
        "name": card.name,
        "version": card.version,
        "task": card.task,
        "sha256": card.sha256,
        "provider": model.provider,
    }
