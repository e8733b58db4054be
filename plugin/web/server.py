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
from plugin.web.polled import Polled
from plugin.web.routes import respond
from plugin.web.users import Users

_NOBODY = Users()
_POLLED = {"worklist"}
"""What open pages ask for every few seconds."""


def rest_callback(service: Service, guard: Guard, users: Users = _NOBODY) -> Callable[..., None]:
    """The callback that Orthanc calls for every request under ``/ai``."""
    polled = Polled()

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
        if asked.method == "GET" and asked.path in _POLLED and guard.refusal("GET", headers) is None:
            question = repr((asked.path, sorted(asked.arguments.items())))
            known = headers.get("if-none-match", "")
            polled.send(output, question, known, lambda: respond(service, guard, asked))
            return
        send_json(output, *respond(service, guard, asked))
        if asked.method != "GET":
            polled.forget()

    return callback
