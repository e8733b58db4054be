"""Takes what is due, has it read, stores the results and settles the series; retries and stops."""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from plugin.domain.errors import ImagingError, ModelError, SourceChanged
from plugin.domain.kinds import State
from plugin.domain.outcome import Outcome, outcome_of
from plugin.models.lineup import Lineup
from plugin.pipelines.reading import Stages
from plugin.queue.database import Unavailable, reason
from plugin.queue.job import Job
from plugin.queue.ledger import Entry, LastTry, Ledger
from plugin.queue.outcome import models_of
from plugin.queue.recipe import recipe
from plugin.settings import Settings

if TYPE_CHECKING:
    from plugin.pacs import Pacs

log = logging.getLogger(__name__)

_LONGEST_DELAY = 3600.0
"""Seconds that a series waits at most before it is tried again."""


class Stopped(Exception):
    """Raised inside a reading when Orthanc stops."""


class Worker:
    """One thread that reads series, one at a time; the only one that reads from its ledger.

    A write to the ledger that fails is repeated until it succeeds or Orthanc stops.
    """

    def __init__(self, pacs: Pacs, ledger: Ledger, lineup: Lineup, settings: Settings) -> None:
        """Nothing runs before :meth:`start`."""
        self._pacs = pacs
        self._lineup = lineup
        self._settings = settings
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._ledger = ledger.insisting(self._stop)
        self._running: dict[str, Any] | None = None
        self._thread = threading.Thread(target=self._work, name="chest-ai-worker", daemon=True)

    @property
    def running(self) -> list[dict[str, Any]]:
        """What is being read now: series, stage, progress 0 to 1."""
        current = self._running
        return [] if current is None else [dict(current)]

    @property
    def trouble(self) -> str | None:
        """Why the ledger cannot be used, while the worker waits for it."""
        return self._ledger.trouble

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def wake(self) -> None:
        """Look into the ledger now."""
        self._wake.set()

    def stop(self, seconds: float) -> bool:
        """Stop the reading at its next step; whether it did within so long. What was begun is given back."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def _work(self) -> None:
        step_back(self._settings.niceness)
        while not self._stop.is_set():
            due = None
            try:
                for series in self._ledger.take_back():
                    log.warning("series %s was claimed but is not being read: it will be read again", series)
                entry = self._ledger.claim()
                if entry is not None:
                    self._handle(entry)
                    continue
                due = self._ledger.next_due()
            except Exception as error:  # the worker must outlive anything
                if self._stop.is_set() and isinstance(error, Unavailable):
                    log.warning("the ledger cannot be used while Orthanc stops: %s", reason(error))
                    return
                log.exception("the ledger cannot be used; trying again")
            wait = 5.0 if due is None else min(5.0, max(0.05, due - time.time()))
            self._wake.wait(wait)
            self._wake.clear()

    def _handle(self, entry: Entry) -> None:
        """Read one series and write down how it ended. Raises what the ledger raises at a stop."""
        series = entry.series
        stages = Stages(lambda stage, progress: self._report(series, stage, progress))
        try:
            if not self._may_be_read(entry, stages):
                return
            self._report(series, "header", 0.0)
            job = Job(self._pacs, self._ledger, self._lineup, self._settings, stages)
            job.run(entry)
        except (Stopped, SourceChanged):
            self._ledger.give_back(series)
        except (ImagingError, ModelError) as error:  # trying again would find the same
            self._fail(entry, stages, str(error))
        except Exception as error:  # whatever it is, the series is settled and the reason kept
            if self._stop.is_set():
                log.warning("series %s: interrupted because Orthanc stops: %s", series, error)
                self._ledger.give_back(series)
                return
            log.exception("series %s: attempt %d failed", series, entry.attempts)
            self._try_again(entry, stages, f"{type(error).__name__}: {error}")
        finally:
            self._running = None

    def _report(self, series: str, stage: str, progress: float) -> None:
        if self._stop.is_set():
            raise Stopped
        self._running = {"series": series, "stage": stage, "progress": round(progress, 3)}

    def _may_be_read(self, entry: Entry, stages: Stages) -> bool:
        """Whether attempts are left; else the series is owed its last try, or has failed."""
        if entry.last_try is LastTry.OWED:
            log.info("series %s: its last try", entry.series)
            return True
        if entry.last_try is LastTry.BEGUN:
            self._fail(entry, stages, "reading it ended Orthanc again and again, the last time alone")
            return False
        tried = entry.attempts - 1
        if tried < self._settings.attempts:
            return True
        delay = self._delay(entry.attempts)
        error = (
            f"tried {tried} times, the last time cut off by the end of Orthanc; waits to be tried once more,"
            f" alone, when no other series is due, after {delay:.0f} s at the earliest"
        )
        log.warning("series %s: %s", entry.series, error)
        self._ledger.retry(entry.series, error, delay, last_try=True)
        return False

    def _try_again(self, entry: Entry, stages: Stages, error: str) -> None:
        if entry.last_try is not None or entry.attempts >= self._settings.attempts:
            self._fail(entry, stages, error)
            return
        self._ledger.retry(entry.series, error, self._delay(entry.attempts))

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
            content=(current or entry).content or "",
            recipe=recipe(self._lineup, self._settings, entry.modality),
            models=models_of(self._lineup, entry.modality),
            timings=stages.timings,
            outputs=known.outputs,
            superseded=known.superseded,
            error=error,
        )
        self._ledger.settle(
            entry.series,
            State.FAILED,
            models=failure.recipe,
            outcome=failure.as_json(),
            stored=(current or entry).stored,
            error=error,
        )


def step_back(niceness: int) -> None:
    """Let this thread, and the threads it starts, run behind Orthanc's own.

    On Linux a nice value belongs to a thread and is inherited, so ONNX Runtime's pools made from here
    step back too (setpriority(2), notes).
    """
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
    except OSError as error:
        log.warning("the reading's priority stays as it is: %s", error)
