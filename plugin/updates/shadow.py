"""A shadow: a version that reads what was read already, and whose answers stand beside and in no report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

from plugin import pipelines
from plugin.domain.findings import Findings
from plugin.domain.kinds import Modality
from plugin.domain.outcome import KeptLungs, Outcome, kept_findings
from plugin.domain.pacs import Pacs
from plugin.models.lineup import Lineup
from plugin.models.network import Model
from plugin.pipelines.reading import Request, Stages
from plugin.result_settings import ResultChoice
from plugin.results.identity import Identity
from plugin.settings import Settings


def exchanged(lineup: Lineup, model: Model) -> Lineup:
    """A line-up in which a model takes the place of the one of its name."""

    def changed(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(changed(one) for one in value)
        return model if isinstance(value, Model) and value.card.name == model.card.name else value

    return replace(lineup, **{field.name: changed(getattr(lineup, field.name)) for field in fields(lineup)})


_NOTHING: dict[str, Any] = {
    name: "none" if name == "rejection_sr" else False for name in ResultChoice.model_fields
}
"""What a shadow makes: no result at all."""


def read(
    name: str,
    lineup: Lineup,
    settings: Settings,
    modality: Modality,
    outcome: Outcome,
    *,
    pacs: Pacs,
    go_on: Callable[[], None],
) -> dict[str, Any]:
    """Read a series again with a line-up in which ``name`` is a shadow; what both said (see `compared`).

    ``go_on`` is called at each step; what it raises ends the reading.
    """
    record = pacs.series(str(outcome.series))
    identity = Identity(series_uid=record.series_uid, reading="shadow", created=datetime.now(UTC))
    nothing = settings.results.model_copy(update=_NOTHING)
    begun = time.monotonic()
    made = pipelines.read(
        modality,
        Request(
            source=pacs.source(record),
            identity=identity,
            lineup=lineup,
            settings=settings.model_copy(update={"results": nothing}),
            stages=Stages(lambda _stage, _progress: go_on()),
        ),
    )
    seconds = time.monotonic() - begun
    return compared(name, outcome, accepted=made.verdict.accepted, findings=made.findings, seconds=seconds)


def compared(
    name: str, outcome: Outcome, *, accepted: bool, findings: Findings | None, seconds: float
) -> dict[str, Any]:
    """What the current and the shadow version of a model said of one series, as (current, shadow).

    Probabilities of the finding by projection, whether it was called, the percentage of the lungs.
    """
    current, shadow = outcome.findings, None if findings is None else kept_findings(findings)
    said: dict[str, Any] = {
        "series": outcome.series,
        "accepted": [bool(outcome.verdict and outcome.verdict.accepted), accepted],
        "seconds": round(seconds, 2),
    }
    if current is None or shadow is None or findings is None:
        return said
    roles = {c.algorithm.name: c.finding.name for c in findings.classifications}
    for one in shadow.classifications:
        other = next((c for c in current.classifications if c.model == one.model == name), None)
        if other is not None:
            finding = roles[name]
            said["called"] = [other.positive, one.positive]
            said["probability"] = [other.probabilities.get(finding), one.probabilities[finding]]
    before, now = _measured(name, current.lungs, current.beside), _measured(name, shadow.lungs, shadow.beside)
    if before is not None and now is not None:
        said["percent"] = [before.both.percent, now.both.percent]
    return said


def _measured(name: str, lungs: KeptLungs | None, beside: Sequence[KeptLungs]) -> KeptLungs | None:
    return next((one for one in (lungs, *beside) if one is not None and one.model == name), None)


def summary(compared_: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All series together: in how many both agree, and how far numbers lie apart on average."""
    told: dict[str, Any] = {"series": len(compared_)}
    if failed := sum("failed" in one for one in compared_):
        told["failed"] = failed
    for key in ("accepted", "called"):
        pairs = [one[key] for one in compared_ if key in one]
        if pairs:
            told[f"{key}_alike"] = sum(current == shadow for current, shadow in pairs)
            told[key] = [sum(bool(pair[place]) for pair in pairs) for place in (0, 1)]
    for key in ("probability", "percent"):
        pairs = [one[key] for one in compared_ if key in one and None not in one[key]]
        if pairs:
            apart = [shadow - current for current, shadow in pairs]
            told[f"{key}_mean"] = [
                round(sum(pair[place] for pair in pairs) / len(pairs), 4) for place in (0, 1)
            ]
            told[f"{key}_largest_difference"] = round(max(map(abs, apart)), 4)
    return told
