"""The routes under ``/ai``: a request in, a status and JSON out. Knows nothing of Orthanc's HTTP server."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from plugin.domain.errors import NoCandidate, NotHeld
from plugin.domain.kinds import State
from plugin.queue.outcome import entry_json
from plugin.service import Service
from plugin.web.access import Guard

log = logging.getLogger(__name__)

_MAX_LIMIT = 1000
_MAX_BODY_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class HttpRequest:
    """A request: method, path after ``/ai/``, arguments of a GET, headers (lower case), size of the body."""

    method: str
    path: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body_bytes: int = 0


class HttpError(Exception):
    """An answer other than 200, with its reason."""

    def __init__(self, status: int, reason: str) -> None:
        """``status``: the HTTP status."""
        super().__init__(reason)
        self.status = status


def respond(service: Service, guard: Guard, request: HttpRequest) -> tuple[int, Any]:
    """The HTTP status and the JSON value that answer a request; with 405 the methods that are answered."""
    try:
        _let_in(guard, request)
        for pattern, methods in _ROUTES:
            match = re.fullmatch(pattern, request.path)
            if match is None:
                continue
            handler = methods.get(request.method)
            if handler is None:
                return 405, ",".join(methods)
            return 200, handler(service, request, *match.groups())
        raise HttpError(404, f"there is no route /ai/{request.path}")
    except HttpError as error:
        return error.status, {"error": str(error)}
    except Exception:  # a broken answer must reach the client as one, and the log with its trace
        log.exception("/ai/%s cannot be answered", request.path)
        return 500, {"error": "internal error; Orthanc's log has the details"}


def _let_in(guard: Guard, request: HttpRequest) -> None:
    """Raise HttpError for what another site's page asks, and for a body that no route takes."""
    refusal = guard.refusal(request.method, request.headers)
    if refusal is not None:
        log.warning("%s /ai/%s is refused: %s", request.method, request.path, refusal)
        raise HttpError(403, refusal)
    if request.body_bytes > _MAX_BODY_BYTES:
        raise HttpError(413, f"the body has {request.body_bytes} bytes, the limit is {_MAX_BODY_BYTES}")


def _status(service: Service, _request: HttpRequest) -> Any:
    return service.status()


def _models(service: Service, _request: HttpRequest) -> Any:
    return service.cards()


def _series_list(service: Service, request: HttpRequest) -> Any:
    arguments = request.arguments
    state = None
    if arguments.get("state"):
        try:
            state = State(arguments["state"])
        except ValueError:
            known = ", ".join(state.value for state in State)
            raise HttpError(400, f"state must be one of {known}") from None
    limit = int(_number(arguments, "limit", 100))
    if not 1 <= limit <= _MAX_LIMIT:
        raise HttpError(400, f"limit must be between 1 and {_MAX_LIMIT}")
    if service.ledger is None:
        return []
    entries = service.ledger.entries(state=state, since=_number(arguments, "since", 0.0), limit=limit)
    return [_shown(service, entry_json(entry, service.pacs.has_instance)) for entry in entries]


def _series(service: Service, _request: HttpRequest, series: str) -> Any:
    entry = service.ledger.get(series) if service.ledger is not None else None
    if entry is None:
        raise HttpError(404, _why_unknown(service, series))
    return _shown(service, entry_json(entry, service.pacs.has_instance))


def _run(service: Service, _request: HttpRequest, series: str) -> Any:
    try:
        service.request(series)
    except NotHeld:
        raise HttpError(404, "Orthanc does not hold this series") from None
    except NoCandidate as error:
        raise HttpError(409, f"this series is not read: {error}") from error
    except RuntimeError as error:
        raise HttpError(503, str(error)) from error
    return _series(service, _request, series)


def _why_unknown(service: Service, series: str) -> str:
    if service.intake is None:
        return str(service.status()["reason"])
    try:
        service.intake.modality(series)
    except NotHeld:
        return "Orthanc does not hold this series"
    except NoCandidate as error:
        return f"this series is not read: {error}"
    return "nothing is known of this series (yet); POST …/run reads it"


def _shown(service: Service, known: dict[str, Any]) -> dict[str, Any]:
    """An entry with where its reading stands, if it is being read."""
    for running in service.running():
        if running["series"] == known["series"]:
            known |= {"state": State.RUNNING.value, **running}
    return known


def _number(arguments: Mapping[str, str], name: str, default: float) -> float:
    try:
        value = float(arguments.get(name) or default)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise HttpError(400, f"{name} must be a number")
    return value


Handler = Callable[..., Any]

_ROUTES: tuple[tuple[str, dict[str, Handler]], ...] = (
    (r"status", {"GET": _status}),
    (r"models", {"GET": _models}),
    (r"series", {"GET": _series_list}),
    (r"series/([0-9a-f-]{44})", {"GET": _series}),
    (r"series/([0-9a-f-]{44})/run", {"POST": _run}),
)
