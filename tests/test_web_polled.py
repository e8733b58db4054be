"""What many pages ask for at once is worked out once, and is not sent again unchanged."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from plugin.web import polled
from plugin.web.polled import Polled
from tests.test_web_routes import Output


class Work:
    """Answers that tell how often they were worked out."""

    def __init__(self, status: int = 200, seconds: float = 0.0) -> None:
        self.status, self.seconds, self.done = status, seconds, 0

    def __call__(self) -> tuple[int, Any]:
        time.sleep(self.seconds)
        self.done += 1
        return self.status, {"done": self.done}


def asked(
    answers: Polled, work: Callable[[], tuple[int, Any]], question: str = "", known: str = ""
) -> Output:
    output = Output()
    answers.send(output, question, known, work)
    return output


def test_ten_that_ask_at_once_have_one_answer() -> None:
    answers, work = Polled(), Work(seconds=0.1)
    got: list[Output] = []
    threads = [threading.Thread(target=lambda: got.append(asked(answers, work))) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert work.done == 1
    assert {output.body for output in got} == {b'{"done": 1}'}
    assert json.loads(asked(answers, work, "another").body) == {"done": 2}


def test_nobody_waits_for_an_answer_to_another_question() -> None:
    answers, free, begun = Polled(), threading.Event(), threading.Event()

    def stuck() -> tuple[int, Any]:
        begun.set()
        assert free.wait(30)
        return 503, {"error": "the ledger does not answer"}

    got: list[Output] = []
    waits = threading.Thread(target=lambda: got.append(asked(answers, stuck, "stuck")))
    waits.start()
    assert begun.wait(30)
    assert asked(answers, Work(), "another").status == 200
    answers.forget()  # whoever has changed something does not wait either
    assert asked(answers, Work(), "stuck").status == 200
    free.set()
    waits.join()
    assert [output.status for output in got] == [503]
    assert asked(answers, Work(), "stuck").status == 200


def test_an_error_is_raised_and_not_kept() -> None:
    answers = Polled()

    def broken() -> tuple[int, Any]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asked(answers, broken)
    assert asked(answers, Work()).status == 200


def test_whoever_has_the_answer_is_not_sent_it_again() -> None:
    answers, work = Polled(), Work()
    first = asked(answers, work)
    tag = first.headers["ETag"]
    again = asked(answers, work, known=f'"old", {tag}')
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
    assert asked(answers, work, known='"old"').status == 200


def test_an_answer_is_worked_out_anew_after_a_while_and_after_a_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers, work = Polled(), Work()
    tag = asked(answers, work).headers["ETag"]
    answers.forget()
    assert asked(answers, work, known=tag).status == 200
    assert work.done == 2
    monkeypatch.setattr(polled, "LASTS", 0.0)
    asked(answers, work)
    assert work.done == 3


def test_trouble_is_not_kept() -> None:
    answers, work = Polled(), Work(status=503)
    assert asked(answers, work).status == 503
    work.status = 200
    assert json.loads(asked(answers, work).body) == {"done": 2}
