"""Answers that many open pages ask for again and again: worked out once for all, not sent again unchanged."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from plugin.web.answers import send, send_json

LASTS = 1.5
"""Seconds that an answer is good for: less than a page waits before it asks again."""

_MOST_KEPT = 16


@dataclass(frozen=True, kw_only=True)
class _Answer:
    status: int
    value: Any
    body: bytes
    tag: str
    at: float


class Polled:
    """The answers of a moment, by what was asked. Safe from several threads.

    Whoever asks what another is working out waits for that answer, and for nobody else.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._answers: dict[str, Future[_Answer]] = {}
        self._lock = threading.Lock()  # of the dictionary alone, never while an answer is worked out

    def send(self, output: Any, question: str, known: str, work: Callable[[], tuple[int, Any]]) -> None:
        """Answer a question, by ``work``, a status and JSON, where nobody has asked it a moment ago.

        ``known``: the tags of the answers that whoever asks has already (RFC 9110 Section 13.1.2); where one
        of them still is the answer, that is all that is said.
        """
        answer = self._answer(question, work)
        if answer.status != 200:
            send_json(output, answer.status, answer.value)
            return
        output.SetHttpHeader("ETag", answer.tag)
        output.SetHttpHeader("Cache-Control", "no-cache")  # kept by a browser, but asked for each time
        if answer.tag in (tag.strip() for tag in known.split(",")):
            send(output, 304, b"", "application/json")
        else:
            send(output, 200, answer.body, "application/json")

    def forget(self) -> None:
        """Work out everything anew: something has been changed."""
        with self._lock:
            self._answers = {}

    def _answer(self, question: str, work: Callable[[], tuple[int, Any]]) -> _Answer:
        own: Future[_Answer] = Future()
        with self._lock:
            answers = self._answers
            shared = answers.get(question)
            if shared is None or (shared.done() and time.monotonic() - shared.result().at >= LASTS):
                if len(answers) >= _MOST_KEPT:
                    answers.clear()
                shared = answers[question] = own
        if shared is not own:
            return shared.result()
        try:
            answer = _made(*work())
        except BaseException as error:
            self._drop(answers, question, own)
            own.set_exception(error)
            raise
        if answer.status != 200:
            self._drop(answers, question, own)
        own.set_result(answer)
        return answer

    def _drop(self, answers: dict[str, Future[_Answer]], question: str, own: Future[_Answer]) -> None:
        """Trouble is told to those who wait for it, and not kept."""
        with self._lock:
            if answers.get(question) is own:
                del answers[question]


def _made(status: int, value: Any) -> _Answer:
    body = json.dumps(value, ensure_ascii=False).encode() if status == 200 else b""
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    return _Answer(status=status, value=value, body=body, tag=tag, at=time.monotonic())
