"""The routes under ``/ai``: a request in, a status and JSON out. Knows nothing of Orthanc's HTTP server."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

from plugin.service import Service
from plugin.web.access import Guard
from plugin.web.audit import audit
from plugin.web.http import HttpError, HttpRequest
from plugin.web.models import back, install, models
from plugin.web.reviews import review
from plugin.web.series import run, series, series_list
from plugin.web.session import session
from plugin.web.studies import run_study, study
from plugin.web.worklist import stations, worklist

__all__ = ["HttpError", "HttpRequest", "respond"]

log = logging.getLogger(__name__)

_MAX_BODY_BYTES = 64 * 1024

Handler = Callable[..., Any]


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
            return 200, _done(service, request, handler, *match.groups())
        raise HttpError(404, f"there is no route /ai/{request.path}")
    except HttpError as error:
        return error.status, {"error": str(error)}
    except Exception:  # a broken answer must reach the client as one, and the log with its trace
        log.exception("/ai/%s cannot be answered", request.path)
        return 500, {"error": "internal error; Orthanc's log has the details"}


def _done(service: Service, request: HttpRequest, handler: Handler, *names: str) -> Any:
    """What a handler answers; what changes something, or is refused to this user, is written down."""
    try:
        answer = handler(service, request, *names)
    except HttpError as error:
        if error.status == 403:
            _write_down(service, request, error.status)
        raise
    if request.method != "GET":
        _write_down(service, request, 200)
    return answer


def _write_down(service: Service, request: HttpRequest, status: int) -> None:
    if service.ledger is None:
        return
    try:
        service.ledger.record(request.user, f"{request.method} {request.path}", status)
        service.pacs.emit_audit(request.user, f"{request.method} /ai/{request.path}", status)
    except Exception:  # what was done is done, and is answered
        log.exception("%s /ai/%s was not written down", request.method, request.path)


def _let_in(guard: Guard, request: HttpRequest) -> None:
    """Raise HttpError for what another site's page asks, and for a body that no route takes."""
    refusal = guard.refusal(request.method, request.headers)
    if refusal is not None:
        log.warning("%s /ai/%s is refused: %s", request.method, request.path, refusal)
        raise HttpError(403, refusal)
    if len(request.body) > _MAX_BODY_BYTES:
        raise HttpError(413, f"the body has {len(request.body)} bytes, the limit is {_MAX_BODY_BYTES}")


def _status(service: Service, _request: HttpRequest) -> Any:
    return service.status()


_ID = "([0-9a-f-]{44})"
_NAME = "([a-z0-9-]{2,63})"

_ROUTES: tuple[tuple[str, dict[str, Handler]], ...] = (
    (r"status", {"GET": _status}),
    (r"models", {"GET": models}),
    (rf"models/{_NAME}/install", {"POST": install}),
    (rf"models/{_NAME}/install/(\d{{1,6}}\.\d{{1,6}}\.\d{{1,6}})", {"POST": install}),
    (rf"models/{_NAME}/back", {"POST": back}),
    (r"session", {"GET": session}),
    (r"audit", {"GET": audit}),
    (r"worklist", {"GET": worklist}),
    (r"stations", {"GET": stations}),
    (r"series", {"GET": series_list}),
    (rf"series/{_ID}", {"GET": series}),
    (rf"series/{_ID}/run", {"POST": run}),
    (rf"series/{_ID}/review", {"POST": review}),
    (rf"studies/{_ID}", {"GET": study}),
    (rf"studies/{_ID}/run", {"POST": run_study}),
)
