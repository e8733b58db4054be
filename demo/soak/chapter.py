"""What the chapters of a soak have in common: where they work, how they wait, what they tell."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo.rest import Orthanc
from demo.server import OrthancServer
from demo.soak.audit import Sent, audit
from demo.soak.problems import Kind, Problem
from demo.soak.series import Factory

STABLE_AGE = 2
"""Orthanc's StableAge in the soak, in seconds."""

_QUIET_SECONDS = STABLE_AGE + 3.0
_QUICK = {"PollSeconds": 1, "RetrySeconds": 1}


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a chapter works with. ``real``: a folder of DICOM files to torture as well."""

    folder: Path
    factory: Factory
    seed: int
    rounds: int
    real: Path | None = None

    def server(
        self,
        name: str = "pacs",
        *,
        chest_ai: Mapping[str, Any] | None = None,
        orthanc: Mapping[str, Any] | None = None,
    ) -> OrthancServer:
        """An Orthanc, not yet started, over a folder of its own; it polls and retries after a second."""
        return OrthancServer(
            self.folder / name, stable_age=STABLE_AGE, chest_ai=_QUICK | dict(chest_ai or {}), orthanc=orthanc
        )


@dataclass(kw_only=True)
class Chapter:
    """What came of a chapter: figures in words, by what they are of, and problems."""

    figures: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    skipped: str = ""


def say(text: str) -> None:
    """One line of progress."""
    print(f"  {time.strftime('%H:%M:%S')}  {text}", flush=True)


def wait_until_at_rest(orthanc: Orthanc, *, seconds: float) -> bool:
    """Wait until nothing has waited or run for longer than Orthanc takes to call a series stable.

    False where that does not come in so many seconds. Raises OSError where Orthanc does not answer.
    """
    started = time.monotonic()
    quiet_since = None
    while time.monotonic() - started < seconds:
        status = orthanc.get("/ai/status")
        loading = status["state"] == "starting"
        busy = loading or status["counts"]["waiting"] or status["counts"]["running"] or status["running"]
        now = time.monotonic()
        quiet_since = None if busy else quiet_since or now
        if quiet_since is not None and now - quiet_since > _QUIET_SECONDS:
            return True
        time.sleep(0.3)
    return False


def wait_for_stage(orthanc: Orthanc, stage: str, *, seconds: float) -> bool:
    """Wait until a series is read and stands in that stage. False where none does in so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if any(running["stage"] == stage for running in orthanc.get("/ai/status")["running"]):
            return True
        time.sleep(0.005)
    return False


def close(
    server: OrthancServer,
    chapter: Chapter,
    sent: Iterable[Sent] = (),
    *,
    seconds: float,
    ledger: Path | None = None,
) -> None:
    """Let a running server come to rest, audit it, and add what is found to the chapter.

    ``ledger``: the ledger's file, where it is not in the usual place.
    """
    try:
        started = time.monotonic()
        if not wait_until_at_rest(server, seconds=seconds):
            text = f"not at rest after {seconds:.0f} s: {server.get('/ai/status')}"
            chapter.problems.append(Problem(kind=Kind.OPEN, text=text))
        say(f"at rest after {time.monotonic() - started:.0f} s; the audit begins")
        usual = server.data / "db" / "chest-ai.sqlite"
        chapter.problems += audit(server, sent=sent, ledger=ledger or usual)
    except OSError as error:
        chapter.problems.append(server_problem(server, str(error)))


def server_problem(server: OrthancServer, text: str) -> Problem:
    """That a server does not answer, and how it ended where it did."""
    ended = "" if server.exit_status is None else f"; Orthanc ended with status {server.exit_status}"
    return Problem(kind=Kind.SERVER, text=f"{text}{ended}:\n{server.log_tail()}")
