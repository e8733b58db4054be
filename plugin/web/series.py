"""The routes of one series: what is known of it, and reading it again."""

from __future__ import annotations

from typing import Any

from plugin.domain.assessment import as_json
from plugin.domain.errors import NoCandidate, NotHeld
from plugin.domain.kinds import ResultKind, State
from plugin.queue.ledger import Entry
from plugin.queue.outcome import entry_json
from plugin.service import Service
from plugin.web.http import HttpError, HttpRequest, count, number, one_of

_MAX_LIMIT = 1000


def series_list(service: Service, request: HttpRequest) -> Any:
    """``GET /ai/series``."""
    state = one_of(request.arguments, "state", State)
    limit = count(request.arguments, "limit", 100, _MAX_LIMIT)
    since = number(request.arguments, "since", 0.0)
    if service.ledger is None:
        return []
    entries = service.ledger.entries(state=state, since=since, limit=limit)
    return [shown(service, entry) for entry in entries]


def series(service: Service, _request: HttpRequest, name: str) -> Any:
    """``GET /ai/series/{id}``."""
    entry = service.ledger.get(name) if service.ledger is not None else None
    if entry is None:
        raise HttpError(404, why_unknown(service, name))
    return shown(service, entry)


def run(service: Service, request: HttpRequest, name: str) -> Any:
    """``POST /ai/series/{id}/run``."""
    try:
        service.request(name)
    except NotHeld:
        raise HttpError(404, "Orthanc does not hold this series") from None
    except NoCandidate as error:
        raise HttpError(409, f"this series is not read: {error}") from error
    except RuntimeError as error:
        raise HttpError(503, str(error)) from error
    return series(service, request, name)


def why_unknown(service: Service, name: str) -> str:
    """Why the ledger does not know a series."""
    if service.intake is None:
        return str(service.status()["reason"])
    try:
        service.intake.modality(name)
    except NotHeld:
        return "Orthanc does not hold this series"
    except NoCandidate as error:
        return f"this series is not read: {error}"
    return "nothing is known of this series (yet); POST …/run reads it"


def shown(service: Service, entry: Entry) -> dict[str, Any]:
    """An entry, with where its reading stands if it is being read."""
    known = entry_json(entry, service.pacs.has_instance)
    current = known["outputs"][ResultKind.SR]
    known["reviews"] = [as_json(one, current) for one in service.pacs.assessments(entry.series)]
    known["corrections"] = [
        one.model_dump(mode="json") | {"current": one.corrects == known["outputs"][ResultKind.SEG]}
        for one in service.pacs.corrections(entry.series)
        if service.pacs.has_instance(one.segmentation)
    ]
    for running in service.running():
        if running["series"] == entry.series:
            known |= {"state": State.RUNNING.value, **running}
    return known
