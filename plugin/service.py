"""The running plugin: models, intake and worker put together, started, watched and stopped."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import sqlalchemy.exc

from plugin import __version__
from plugin.domain.kinds import Modality
from plugin.models.cards import public_card
from plugin.models.lineup import Lineup, load_lineup
from plugin.queue.intake import Intake
from plugin.queue.ledger import Ledger, State
from plugin.queue.worker import Worker, step_back
from plugin.settings import Settings, SettingsError

if TYPE_CHECKING:
    from plugin.pacs import Pacs

log = logging.getLogger(__name__)

_STOP_SECONDS = 15.0


class Service:
    """The plugin while Orthanc runs. Starting happens on a thread of its own: Orthanc never waits."""

    def __init__(self, pacs: Pacs, settings: Settings, *, ledger_url: str, stable_age: float) -> None:
        """``stable_age``: Orthanc's StableAge in seconds."""
        self.settings = settings
        self.pacs = pacs
        self.ledger: Ledger | None = None
        self.intake: Intake | None = None
        self.lineup = Lineup()
        self._ledger_url = ledger_url
        self._stable_age = stable_age
        self._worker: Worker | None = None
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._deleted: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._disabled: str | None = None
        self._started = False
        self._thread = threading.Thread(target=self._run, name="chest-ai-intake", daemon=True)

    def start(self) -> None:
        """Begin: load the models, find what is owed, read."""
        self._thread.start()

    def wake(self) -> None:
        """Look into Orthanc's changes now."""
        self._wake.set()

    def deleted(self, series: str) -> None:
        """Note that Orthanc has deleted a series."""
        self._deleted.put(series)
        self._wake.set()

    def stop(self) -> None:
        """End within a bounded time; what was being read is given back to the ledger."""
        self._stop.set()
        self._wake.set()
        if self._worker is not None:
            self._worker.stop(_STOP_SECONDS)
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)

    def request(self, series: str) -> None:
        """Read a series again, now.

        Raises LookupError where Orthanc does not hold it, NoCandidate where it is not read at all,
        RuntimeError while the plugin does not read.
        """
        if self.ledger is None or self.intake is None or self._worker is None:
            raise RuntimeError(self.status()["reason"] or "the plugin is starting")
        self.ledger.request(series, self.intake.modality(series))
        self._worker.wake()

    def status(self) -> dict[str, Any]:
        """``GET /ai/status``."""
        counts: Mapping[State, int] = self.ledger.counts() if self.ledger else {}
        state, reason = self._state()
        return {
            "state": state,
            "reason": reason,
            "version": __version__,
            "modalities": self._modalities(),
            "counts": {state.value: counts.get(state, 0) for state in State},
            "models": [
                {
                    "name": model.card.name,
                    "version": model.card.version,
                    "task": model.card.task,
                    "modality": model.card.modality,
                    "provider": model.provider,
                }
                for model in self.lineup.models
            ],
            "running": self.running(),
        }

    def running(self) -> list[dict[str, Any]]:
        """What is being read now: series, stage, progress 0 to 1."""
        return self._worker.running if self._worker else []

    def cards(self) -> list[dict[str, Any]]:
        """``GET /ai/models``: the cards of the models in use."""
        return [public_card(model.card) | {"provider": model.provider} for model in self.lineup.models]

    def _modalities(self) -> dict[str, str]:
        off = self.settings.switched_off
        return {which.value: f"off: {off[which]}" if which in off else "read" for which in Modality}

    def _state(self) -> tuple[str, str | None]:
        if self._disabled is not None:
            return "disabled", self._disabled
        if not self._started:
            return "degraded", "starting: models are being loaded, and what is owed is looked up"
        if self.lineup.problems:
            return "degraded", "; ".join(self.lineup.problems)
        return "ready", None

    def _run(self) -> None:
        step_back(self.settings.niceness)
        try:
            self._set_up()
        except SettingsError as error:
            self._disabled = str(error)
        except sqlalchemy.exc.SQLAlchemyError as error:
            self._disabled = f"the ledger cannot be opened: {error}"
        except Exception as error:  # whatever it is, Orthanc runs on and the status route says it
            log.exception("the plugin cannot start")
            self._disabled = f"cannot start: {type(error).__name__}: {error}"
        if self._disabled is not None:
            log.error("disabled: %s", self._disabled)
            return
        while not self._stop.is_set():
            self._wake.wait(self.settings.poll_seconds)
            self._wake.clear()
            self._look()

    def _set_up(self) -> None:
        self.lineup = load_lineup(self.settings)
        if not self.lineup.models:
            self._disabled = "; ".join(self.lineup.problems) or "the settings choose no models"
            return
        for problem in self.lineup.problems:
            log.warning("%s", problem)
        off = self.settings.switched_off
        ledger = Ledger(self._ledger_url)
        intake = Intake(
            self.pacs,
            ledger,
            stable_age=self._stable_age,
            backlog_days=self.settings.backlog_days,
            xray_modalities=self.settings.xray.modalities,
            switched_off=off,
        )
        intake.catch_up(self._stop.is_set)
        ledger.restart(
            lineups={which: self.lineup.fingerprint(which) for which in Modality if which not in off},
            stable_age=self._stable_age,
        )
        self.ledger, self.intake = ledger, intake
        self._worker = Worker(self.pacs, ledger, self.lineup, self.settings)
        self._worker.start()
        self._started = True

    def _look(self) -> None:
        if self.intake is None or self._worker is None or self.ledger is None or self._stop.is_set():
            return
        try:
            while not self._deleted.empty():
                self.intake.forget_deleted(self._deleted.get())
            self.intake.catch_up(self._stop.is_set)
            self._worker.wake()
            for state, count in self.ledger.counts().items():
                self.pacs.set_metric(f"ai_series_{state.value}", count)
            due = self.ledger.next_due()
            late = 0.0 if due is None else max(0.0, time.time() - due)
            self.pacs.set_metric("ai_oldest_waiting_seconds", late)
        except Exception:  # the intake must outlive anything, such as a full disk
            log.exception("Orthanc's changes cannot be read; trying again")
