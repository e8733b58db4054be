"""The running plugin: models, intake and worker put together, started, watched and stopped."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError

from plugin import __version__
from plugin.domain.kinds import Modality, State
from plugin.domain.pacs import OwnPacs
from plugin.models.cards import public_card
from plugin.models.lineup import Lineup, load_lineup
from plugin.queue.assessing import Assessing
from plugin.queue.correcting import Correcting
from plugin.queue.database import Unavailable, reason
from plugin.queue.engine import Engine, make_engine
from plugin.queue.filing import Filing
from plugin.queue.intake import Intake
from plugin.queue.labelling import Labelling
from plugin.queue.leases import EMBEDDED
from plugin.queue.ledger import Ledger
from plugin.queue.lookout import Lookout
from plugin.queue.opening import open_ledger
from plugin.queue.reader import step_back
from plugin.queue.schema import LedgerError
from plugin.settings import Settings, SettingsError

if TYPE_CHECKING:
    from plugin.updates.updater import Updater

log = logging.getLogger(__name__)

_STOP_SECONDS = 15.0

_LEDGER_SECONDS = 2.0
"""How long to wait for a ledger that does not answer, before it is tried again at the start."""


class Service:
    """The plugin while Orthanc runs. Starting happens on a thread of its own: Orthanc never waits."""

    def __init__(
        self,
        pacs: OwnPacs,
        settings: Settings,
        *,
        ledger_url: str,
        stable_age: float,
        name: str = EMBEDDED,
    ) -> None:
        """``stable_age``: Orthanc's StableAge in seconds; ``name``: tells Orthancs with one ledger apart."""
        self.settings = settings
        self.pacs = pacs
        self.ledger: Ledger | None = None
        self.intake: Intake | None = None
        self.assessing: Assessing | None = None
        self.lineup = Lineup()
        self.updates: Updater | None = None
        self._ledger_url = ledger_url
        self._stable_age = stable_age
        self._holder = EMBEDDED if settings.engine == "embedded" else name
        self._lookout: Lookout | None = None
        self._engine: Engine | None = None
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._deleted: deque[str] = deque()
        self._starting = threading.Lock()
        self._disabled: str | None = None
        self._awaited = "the models are being loaded"
        self._thread = threading.Thread(target=self._run, name="chest-ai-intake", daemon=True)

    def start(self) -> None:
        """Begin: load the models, find what is owed, read."""
        self._thread.start()

    def wake(self) -> None:
        """Look into Orthanc's changes now."""
        self._wake.set()

    def deleted(self, resource: str) -> None:
        """Note that Orthanc has deleted a series or an instance."""
        self._deleted.append(resource)
        self._wake.set()

    def stop(self) -> None:
        """End within a bounded time; what was being read is given back to the ledger."""
        self._stop.set()
        self._wake.set()
        with self._starting:  # from here on no worker starts any more
            engine = self._engine
        if self.updates is not None:
            self.updates.stop(0)  # told, not waited for: what is being read is given back first
        ended = engine is None or engine.stop(_STOP_SECONDS)
        if self.updates is not None:
            self.updates.stop(_STOP_SECONDS)
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)
        if self.ledger is not None and ended and not self._thread.is_alive():
            self.ledger.close()

    def request(self, series: str) -> None:
        """Read a series again, now.

        Raises NotHeld where Orthanc does not hold it, NoCandidate where it is not read at all,
        RuntimeError while the plugin does not read.
        """
        if self.ledger is None or self.intake is None or self._engine is None:
            raise RuntimeError(self._state()[1])
        self.ledger.request(series, self.intake.modality(series))
        self._engine.wake()

    def status(self) -> dict[str, Any]:
        """``GET /ai/status``."""
        state, why = self._state()
        counts: Mapping[State, int | None] = {}
        told: dict[str, Any] = {"engine": self.settings.engine}
        if self.ledger is not None:
            try:
                counts = self.ledger.counts()
                told |= self._engine.status() if self._engine else {}
            except SQLAlchemyError as error:
                counts = dict.fromkeys(State)
                state, why = "degraded", why or f"the ledger cannot be read: {reason(error)}"
        return {
            "state": state,
            "reason": why,
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
            **told,
        }

    def running(self) -> list[dict[str, Any]]:
        """What is being read now: series, stage, progress 0 to 1."""
        return self._engine.running if self._engine else []

    def cards(self) -> list[dict[str, Any]]:
        """``GET /ai/models``: the cards of the models in use, and what is known of newer versions."""
        told = self.updates.told if self.updates is not None else lambda _name: None
        return [
            public_card(model.card) | {"provider": model.provider, "update": told(model.card.name)}
            for model in self.lineup.models
        ]

    def _modalities(self) -> dict[str, str]:
        off = self.settings.switched_off
        return {which.value: f"off: {off[which]}" if which in off else "read" for which in Modality}

    def _state(self) -> tuple[str, str | None]:
        if self._disabled is not None:
            return "disabled", self._disabled
        if self._engine is None:
            return "starting", self._awaited
        trouble = self._engine.trouble
        problems = [*self.lineup.problems]
        if self.updates is not None and self.updates.problem is not None:
            problems.append(self.updates.problem)
        if trouble is not None:
            problems.append(trouble)
        if self._lookout is not None and self._lookout.trouble is not None:
            problems.append(self._lookout.trouble)
        return ("degraded", "; ".join(problems)) if problems else ("ready", None)

    def _run(self) -> None:
        step_back(self.settings.niceness)
        try:
            if self._load_models() and not self._stop.is_set():
                self._begin(self._open_ledger())
        except (SettingsError, LedgerError) as error:
            self._disabled = str(error)
        except Exception as error:  # whatever it is, Orthanc runs on and the status route says it
            log.exception("the plugin cannot start")
            self._disabled = f"cannot start: {type(error).__name__}: {error}"
        if self._disabled is not None:
            log.error("disabled: %s", self._disabled)
            return
        while not self._stop.is_set():
            if self._lookout is not None and self._lookout.look(self._stop.is_set):
                continue
            self._wake.wait(self.settings.poll_seconds)
            self._wake.clear()

    def _load_models(self) -> bool:
        if self.settings.models.channel:
            # Only here, so that a site without a channel needs nothing of what checks signatures.
            from plugin.updates.updater import Updater

            self.updates = Updater(
                self.settings,
                lineup=lambda: self.lineup,
                exchange=self._exchange,
                busy=lambda: bool(self.running()),
            )
        self.lineup = self._chosen()
        if not self.lineup.models:
            self._disabled = "; ".join(self.lineup.problems) or "the settings choose no models"
            return False
        for problem in self.lineup.problems:
            log.warning("%s", problem)
        return True

    def _chosen(self) -> Lineup:
        if self.updates is None:
            return load_lineup(self.settings)
        return load_lineup(self.settings, self.updates.installed)

    def _exchange(self) -> None:
        """Read with the versions that are installed now, from the next series on."""
        self.lineup = self._chosen()
        if self._engine is not None:
            self._engine.use(self.lineup)

    def _open_ledger(self) -> Ledger | None:
        """The ledger, as soon as its database answers; None where Orthanc stops before.

        Raises LedgerError where waiting is no help.
        """
        while not self._stop.is_set():
            try:
                return open_ledger(
                    self._ledger_url, self.pacs, self.lineup, self.settings, holder=self._holder
                )
            except Unavailable as error:
                awaited = f"the ledger cannot be opened: {reason(error)}; it is tried again until it can"
                if awaited != self._awaited:
                    log.error("%s", awaited)
                self._awaited = awaited
                self._stop.wait(_LEDGER_SECONDS)
        return None

    def _begin(self, ledger: Ledger | None) -> None:
        """Let what the last process left be read, while what happened since is still being looked up."""
        if ledger is None:
            return
        intake = Intake(
            self.pacs,
            ledger,
            Filing(self.pacs, self.settings),
            stable_age=self._stable_age,
            backlog_days=self.settings.backlog_days,
            xray_modalities=self.settings.xray.modalities,
            switched_off=self.settings.switched_off,
            urgent=self.settings.urgent,
            others=Correcting(self.pacs, ledger, Labelling(self.pacs, ledger, self.settings.labels)).notice,
        )
        engine = make_engine(self.pacs, ledger, self.lineup, self.settings)
        with self._starting:
            self.ledger, self.intake = ledger, intake
            self.assessing = Assessing(self.pacs, ledger, lambda: self.lineup, self.settings)
            if not self._stop.is_set():
                self._lookout = Lookout(
                    self.pacs, ledger, intake, engine, deleted=self._deleted, stable_age=self._stable_age
                )
                self._engine = engine
                engine.start()
                if self.updates is not None:
                    self.updates.start(self.pacs, ledger)
