"""Answers that many open pages ask for again and again: worked out once for all, not sent again unchanged."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from plugin.web.answers import send, send_json

LASTS = 1.5
"""Seconds that an answer is good for: less than a page waits before it asks again."""

_MOST_KEPT = 16


@dataclass(frozen=True, kw_only=True)
class _Answer:
    body: bytes
    tag: str
    at: float


class Polled:
    """The answers of a moment, by what was asked. Safe from several threads."""

    def __init__(self) -> None:
        """Begin with none."""
        self._answers: dict[str, _Answer] = {}
        self._at_work = threading.Lock()

    def send(self, output: Any, question: str, known: str, work: Callable[[], tuple[int, Any]]) -> None:
        """Answer a question, by ``work``, a status and JSON, where nobody has asked it a moment ago.

        ``known``: the tags of the answers that whoever asks has already (RFC 9110 Section 13.1.2); where one
        of them still is the answer, that is all that is said.
        """
        with self._at_work:
            answer = self._answers.get(question)
            if answer is None or time.monotonic() - answer.at >= LASTS:
                status, value = work()
                if status != 200:
                    send_json(output, status, value)
                    return
                answer = self._keep(question, value)
        output.SetHttpHeader("ETag", answer.tag)
        output.SetHttpHeader("Cache-Control", "no-cache")  # kept by a browser, but asked for each time
        if answer.tag in (tag.strip() for tag in known.split(",")):
            send(output, 304, b"", "application/json")
        else:
            send(output, 200, answer.body, "application/json")

    def forget(self) -> None:
        """Work out everything anew: something has been changed."""
        with self._at_work:
            self._answers.clear()

    def _keep(self, question: str, value: Any) -> _Answer:
        body = json.dumps(value, ensure_ascii=False).encode()
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        if len(self._answers) >= _MOST_KEPT:
            self._answers.clear()
        self._answers[question] = answer = _Answer(body=body, tag=tag, at=time.monotonic())
        return answer
