"""Answers on Orthanc's HTTP server. Standard library only: it must work where nothing else imports."""

from __future__ import annotations

import json
from typing import Any


def send_json(output: Any, status: int, value: Any) -> None:
    """Answer a request with JSON; with status 405 ``value`` is the allowed methods.

    Orthanc has a call of its own for that status, which sends them and no body.
    """
    if status == 405:
        output.SendMethodNotAllowed(value)
        return
    send(output, status, json.dumps(value, ensure_ascii=False, indent=1).encode(), "application/json")


def send(output: Any, status: int, content: bytes, mime: str) -> None:
    """Answer a request of Orthanc's HTTP server (``orthanc.RestOutput``)."""
    if status == 200:
        output.AnswerBuffer(content, mime)
        return
    output.SetHttpHeader("Content-Type", mime)
    try:
        output.SendHttpStatus(status, content)
    except TypeError:
        # Until Orthanc's Python plugin 4.2 the body was text with its length in bytes.
        output.SendHttpStatus(status, content.decode(), len(content))
