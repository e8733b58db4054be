"""One claimed series read under its lease: settled, tried again, given back or given up."""

from __future__ import annotations

import logging
import os
import threading
from typing import Any

from plugin.domain.errors import ImagingError, ModelError, NotHeld, SourceChanged
from plugin.domain.kinds import State
from plugin.domain.outcome import Outcome, outcome_of
from plugin.domain.pacs import Pacs
from plugin.models.lineup import Lineup
from plugin.pipelines.reading import Stages
from plugin.queue.job import Job
from plugin.queue.labelling import Labelling
from plugin.queue.leases import Heartbeat, LostClaim
from plugin.queue.ledger import Entry, LastTry, Ledger
from plugin.queue.outcome import models_of
from plugin.queue.recipe import recipe
from plugin.settings import Settings

log = logging.getLogger(__name__)

_LONGEST_DELAY = 3600.0
"""Seconds that a series waits at most before it is tried again."""


class Stopped(Exception):
    """Raised inside a reading when whoever reads is told to stop."""


class Reader:
    """Reads what was claimed, one series at a time, on the thread that calls it. The same in every engine."""

    def __init__(
        self,
        pacs: Pacs,
        ledger: Ledger,
        lineup: Lineup,
        settings: Settings,
        *,
        stopping: threading.Event,
        ends: str = "Orthanc",
    ) -> None:
        """``stopping``: ends a reading at its next step; ``ends``: what a reading ends that crashes."""
        self._pacs = pacs
        self._ledger = ledger
        self._lineup = lineup
        self._settings = settings
        self._stopping = stopping
        self._ends = ends
        self._labelling = Labelling(pacs, ledger, settings.labels)
        self._running: dict[str, Any] | None = None

    def use(self, lineup: Lineup) -> None:
        """Read with other models from the next series on."""
        self._lineup = lineup

    @property
    def running(self) -> list[dict[str, Any]]:
        """What is being read now: series, stage, progress 0 to 1; the trouble, while it waits."""
        current = self._running
        return [] if current is None else [dict(current)]

    @property
    def trouble(self) -> str | None:
        """Why the reading cannot go on, while it waits for that."""
        current = self._running
        return None if current is None else current.get("trouble")

    def read(self, entry: Entry) -> None:
        """Read one series and write down how it ended. Raises what the ledger raises at a stop."""
        try:
            with Heartbeat(self._ledger, entry) as heartbeat:
                self._read(entry, heartbeat)
            self._labelling.tell(entry.series)
        except LostClaim as error:
            log.warning("series %s was taken away: %s", entry.series, error)
        finally:
            self._running = None

    def _read(self, entry: Entry, heartbeat: Heartbeat) -> None:
        series = entry.series

        def go_on() -> None:
            if self._stopping.is_set():
                raise Stopped
            if heartbeat.lost:
                raise LostClaim("its lease had expired")

        def report(stage: str, progress: float) -> None:
            go_on()
            self._running = {"series": series, "stage": stage, "progress": round(progress, 3)}

        def wait(why: str, seconds: float) -> None:
            self._running = {**(self._running or {}), "trouble": why}
            try:
                self._stopping.wait(seconds)
            except Exception as error:  # a worker's time limit, which is no fault of the series
                raise Stopped from error
            go_on()

        stages = Stages(report, wait)
        try:
            if not self._may_be_read(entry, stages):
                return
            report("header", 0.0)
            Job(self._pacs, self._ledger, self._lineup, self._settings, stages).run(entry)
        except (Stopped, SourceChanged):
            self._ledger.give_back(entry)
        except LostClaim:
            raise
        except (ImagingError, ModelError) as error:  # trying again would find the same
            self._fail(entry, stages, str(error))
        except Exception as error:  # whatever it is, the series is settled and the reason kept
            if self._stopping.is_set():
                log.warning("series %s: interrupted by a stop: %s", series, error)
                self._ledger.give_back(entry)
                return
            log.exception("series %s: attempt %d failed", series, entry.attempts)
            self._try_again(entry, stages, f"{type(error).__name__}: {error}")

    def _may_be_read(self, entry: Entry, stages: Stages) -> bool:
        """Whether attempts are left; else the series is owed its last try, or has failed."""
        if entry.last_try is LastTry.OWED:
            log.info("series %s: its last try", entry.series)
            return True
        if entry.last_try is LastTry.BEGUN:
            self._fail(entry, stages, f"reading it ended {self._ends} again and again, the last time alone")
            return False
        tried = entry.attempts - 1
        if tried < self._settings.attempts:
            return True
        delay = self._delay(entry.attempts)
        error = (
            f"tried {tried} times, the last time cut off by the end of {self._ends}; waits to be tried once"
            f" more, alone, when no other series is due, after {delay:.0f} s at the earliest"
        )
        log.warning("series %s: %s", entry.series, error)
        self._ledger.retry(entry, error, delay, last_try=True)
        return False

    def _try_again(self, entry: Entry, stages: Stages, error: str) -> None:
        if entry.last_try is not None or entry.attempts >= self._settings.attempts:
            self._fail(entry, stages, error)
            return
        self._ledger.retry(entry, error, self._delay(entry.attempts))

    def _delay(self, attempts: int) -> float:
        """Seconds to wait after so many attempts."""
        return min(_LONGEST_DELAY, self._settings.retry_seconds * 2.0 ** (attempts - 1))

    def _fail(self, entry: Entry, stages: Stages, error: str) -> None:
        stages.end()
        log.error("series %s: failed: %s", entry.series, error)
        current = self._ledger.get(entry.series)
        known = outcome_of(entry.outcome, entry.series) or Outcome(state=State.FAILED)
        failure = Outcome(
            state=State.FAILED,
            series=entry.series,
            station=self._station(entry.series) or known.station,
            content=(current or entry).content or "",
            recipe=recipe(self._lineup, self._settings, entry.modality),
            models=models_of(self._lineup, entry.modality),
            timings=stages.timings,
            outputs=known.outputs,
            superseded=known.superseded,
            error=error,
        )
        self._ledger.settle(
            entry,
            State.FAILED,
            models=failure.recipe,
            outcome=failure.as_json(),
            stored=(current or entry).stored,
            error=error,
        )

    def _station(self, series: str) -> str:
        """Where a series comes from; empty where Orthanc does not tell now."""
        try:
            return self._pacs.station(self._pacs.series(series))
        except (NotHeld, OSError):
            return ""


def step_back(niceness: int) -> None:
    """Let this thread, and the threads it starts, run behind Orthanc's own.

    On Linux a nice value belongs to a thread and is inherited, so ONNX Runtime's pools made from here
    step back too (setpriority(2), notes).
    """
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
    except OSError as error:
        log.warning("the reading's priority stays as it is: %s", error)
