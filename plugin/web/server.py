"""The routes on Orthanc's HTTP server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from plugin.service import Service
from plugin.web.access import Guard
from plugin.web.answers import send_json
from plugin.web.http import HttpRequest
from plugin.web.pages import send_page
from plugin.web.routes import respond
from plugin.web.users import Users

_NOBODY = Users()


def rest_callback(service: Service, guard: Guard, users: Users = _NOBODY) -> Callable[..., None]:
    """The callback that Orthanc calls for every request under ``/ai``."""

    def callback(output: Any, uri: str, **request: Any) -> None:
        headers = {name.lower(): value for name, value in request.get("headers", {}).items()}
        asked = HttpRequest(
            method=request["method"],
            path=uri.removeprefix("/ai").strip("/"),
            # Orthanc 1.10 hands them over as the address has them.
            arguments={name: unquote(value) for name, value in request.get("get", {}).items()},
            headers=headers,
            body=bytes(request.get("body") or b""),
            user=users.of(headers),
        )
        if send_page(output, asked.method, asked.path):
            return
        send_json(output, *respond(service, guard, asked))

    return callback
