"""A worker elsewhere: takes what the broker hands it, claims it in the ledger and reads it.

Celery's application of this module (``celery -A plugin.remote.worker worker -Q ct-jobs``) takes its settings
from the file that the environment variable ``CHEST_AI_CONFIGURATION`` names, the one that Orthanc has.

One process receives, a child of it reads: that one may run out of memory or time, and is replaced.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import billiard
from celery.exceptions import Reject
from celery.signals import celeryd_init, worker_process_init, worker_process_shutdown, worker_shutting_down
from sqlalchemy.exc import SQLAlchemyError

from plugin.domain.kinds import Modality
from plugin.models.lineup import load_lineup
from plugin.queue.database import Unavailable, reason
from plugin.queue.ledger import LastTry, Ledger
from plugin.queue.reader import Reader, step_back
from plugin.queue.recipe import recipe
from plugin.remote.broker import QUEUES, TASK, make_app
from plugin.remote.configuration import read_configuration
from plugin.remote.http import RemotePacs
from plugin.settings import Settings, SettingsError, read_settings

log = logging.getLogger(__name__)

CONFIGURATION = "CHEST_AI_CONFIGURATION"
NAME = "CHEST_AI_WORKER_NAME"
ALIVE = "CHEST_AI_ALIVE"
"""Names a file that a worker touches as long as it can read, whatever Orthanc, ledger and broker do."""

_REPORT_SECONDS = 1.0
"""How often a worker says in the ledger what it reads."""

_GIVE_BACK = signal.SIGUSR2
"""What tells a child to give back what it reads."""


class Child:
    """What reads: models, ledger and Orthanc put together, in a process that reads one series at a time."""

    def __init__(self, settings: Settings, name: str, reads: Sequence[Modality]) -> None:
        """Load the models and open the ledger. Raises SettingsError, LedgerError and Unavailable."""
        step_back(settings.niceness)
        self.stopping = threading.Event()
        self._reads = reads
        self._since = time.time()
        self._lineup = load_lineup(settings)
        self._settings = settings
        ledger = Ledger(settings.ledger, holder=name, lease_seconds=settings.lease_seconds)
        for series in ledger.cut_off():
            log.warning("series %s: the process that read it has ended: it will be read again", series)
        self._told = ledger
        self._ledger = ledger.insisting(self.stopping)
        pacs = RemotePacs(
            settings.orthanc,
            identity=ledger.site(),
            series_metadata=settings.series_metadata,
            max_instance_mb=settings.max_instance_mb,
        )
        self._reader = Reader(
            pacs, self._ledger, self._lineup, settings, stopping=self.stopping, ends="its worker"
        )
        self._ended = threading.Event()
        threading.Thread(target=self._report, name="chest-ai-report", daemon=True).start()

    def read(self, series: str, attempt: int) -> None:
        """Read a series if it is due. Raises Reject for a message of another worker's, or of nobody's."""
        entry = None if self.stopping.is_set() else self._ledger.get(series)
        if entry is None:
            return
        if not self.agrees(entry.modality):
            raise Reject(f"another recipe for {entry.modality}", requeue=True)
        claimed = self._ledger.claim_one(series)
        if claimed is None:
            log.info("series %s, attempt %d: it is not due, or somebody else reads it", series, attempt)
            return
        self._reader.read(claimed)
        if claimed.last_try is LastTry.BEGUN:
            raise Reject("it ended its worker again and again", requeue=False)

    def agrees(self, modality: Modality) -> bool:
        """Whether this worker would read as Orthanc says; if not, it is told to stop."""
        wanted = self._ledger.recipes().get(modality)
        if wanted in (None, recipe(self._lineup, self._settings, modality)):
            return True
        problems = "; ".join(self._lineup.problems)
        log.error(
            "this worker's version, models or settings for %s are not Orthanc's: it stops. %s",
            modality.value,
            problems,
        )
        os.kill(os.getppid(), signal.SIGTERM)
        return False

    def end(self) -> None:
        """Say that this worker ends."""
        self._ended.set()
        with contextlib.suppress(SQLAlchemyError):
            self._told.leave()

    def _report(self) -> None:
        alive = os.environ.get(ALIVE)
        while not self._ended.wait(_REPORT_SECONDS):
            if alive:
                Path(alive).touch()
            running = next(iter(self._reader.running), None)
            try:
                self._told.report(self._reads, self._since, running)
            except SQLAlchemyError as error:
                log.debug("the ledger is not told what this worker reads: %s", reason(error))


def settings_of_environment() -> Settings:
    """The settings of the configuration that the environment names. Raises SettingsError."""
    path = os.environ.get(CONFIGURATION)
    if not path:
        raise SettingsError(f"set {CONFIGURATION} to Orthanc's configuration, a file or a folder")
    settings = read_settings(read_configuration(Path(path)))
    if settings.engine != "celery":
        raise SettingsError('ChestAI.Engine is not "celery": Orthanc itself reads')
    return settings


_settings = settings_of_environment()
_name = f"{os.environ.get(NAME) or socket.gethostname()}-{secrets.token_hex(3)}"
_child: Child | None = None

app = make_app(_settings.celery)


@app.task(name=TASK)
def read(series: str, attempt: int) -> None:
    """Read one series; what a message asks for."""
    assert _child is not None  # noqa: S101 - worker_process_init has made it
    _child.read(series, attempt)


@celeryd_init.connect
def _one_at_a_time(conf: Any = None, options: Any = None, **_: Any) -> None:
    """A lease belongs to one reading: more at a time is more workers."""
    if (options or {}).get("concurrency") not in (None, 0, 1) or conf.worker_concurrency != 1:
        raise SystemExit("a worker reads one series at a time: start more workers instead of -c")


@worker_process_init.connect
def _begin(**_: Any) -> None:
    """Make the child ready to read; without it Celery ends, and says why."""
    global _child  # noqa: PLW0603 - Celery's process is the object that it belongs to
    consumed = app.amqp.queues.consume_from
    reads = [modality for modality, queue in QUEUES.items() if queue in consumed]
    while True:
        try:
            _child = Child(_settings, _name, reads)
            break
        except Unavailable as error:
            log.error("the ledger cannot be opened, trying again until it can: %s", reason(error))
            time.sleep(2)
        except Exception:
            log.exception("this worker cannot read")
            os.kill(os.getppid(), signal.SIGTERM)
            raise
    signal.signal(_GIVE_BACK, lambda *_: _child.stopping.set() if _child else None)
    for modality in reads:
        _child.agrees(modality)
    log.info("worker %s is ready for %s", _name, ", ".join(reads))


@worker_process_shutdown.connect
def _end(**_: Any) -> None:
    if _child is not None:
        _child.end()


@worker_shutting_down.connect
def _give_back_in_time(**_: Any) -> None:
    """Celery lets the reading end first; what does not end within the grace is given back."""

    def tell() -> None:
        for child in billiard.active_children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, _GIVE_BACK)

    timer = threading.Timer(_settings.celery.grace_seconds, tell)
    timer.daemon = True
    timer.start()
