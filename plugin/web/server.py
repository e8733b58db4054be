"""The routes on Orthanc's HTTP server."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from plugin import pacs
from plugin.service import Service
from plugin.web.routes import HttpRequest, respond


def rest_callback(service: Service) -> Callable[..., None]:
    """The callback that Orthanc calls for every request under ``/ai``."""

    def callback(output: Any, uri: str, **request: Any) -> None:
        asked = HttpRequest(
            method=request["method"],
            path=uri.removeprefix("/ai").strip("/"),
            arguments=request.get("get", {}),
        )
        status, value = respond(service, asked)
        content = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1).encode()
        pacs.answer(output, status, content, "application/json")

    return callback
