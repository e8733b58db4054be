"""Looks into the channel, tries what is new beside what is in use, and offers or installs it.

On a thread of its own. Whatever goes wrong is told on the routes, and the current models go on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from plugin.domain.errors import ModelError, Refused, first_line
from plugin.domain.kinds import Modality, State
from plugin.domain.outcome import Outcome, outcome_of
from plugin.domain.pacs import Pacs
from plugin.models.cards import Card, read_card
from plugin.models.lineup import Lineup, same_role
from plugin.models.loading import load_model
from plugin.models.network import Model
from plugin.models.session import available_providers
from plugin.queue.ledger import Ledger
from plugin.queue.reader import Stopped, step_back
from plugin.queue.worklist import Wanted
from plugin.settings import Settings
from plugin.updates.channel import GRAPH, Channel, ChannelError, Version, number
from plugin.updates.shadow import exchanged, read, summary
from plugin.updates.shelf import Shelf, Trial

log = logging.getLogger(__name__)

_LATEST = 50
"""How many of the series that were read last a shadow looks at."""
_STEP_SECONDS = 5.0


class Updater:
    """The updates of the models in use.

    ``lineup`` tells which they are, ``exchange`` takes over what was installed, ``busy`` whether a series is
    being read now: a shadow waits for a quiet moment.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        lineup: Callable[[], Lineup],
        exchange: Callable[[], None],
        busy: Callable[[], bool],
    ) -> None:
        """Raises OSError where the folder for the versions cannot be made."""
        choice = settings.models
        self._settings = settings
        self._shelf = Shelf(Path(choice.channel_folder))
        self._channel = Channel(choice.channel, key=Path(choice.channel_key), authorities=choice.authorities)
        self._lineup, self._exchange, self._busy = lineup, exchange, busy
        self._why: str | None = None
        self._refused: dict[str, str] = {}
        self._checked = 0.0
        self._shadows: dict[str, Model] = {}
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def installed(self) -> dict[str, Path]:
        """The folders of the versions in use that came over the channel, by model."""
        return self._shelf.installed

    @property
    def problem(self) -> str | None:
        """Why the channel cannot be used; None where it can."""
        return None if self._why is None else f"the channel of models cannot be used: {self._why}"

    def start(self, pacs: Pacs, ledger: Ledger) -> None:
        """Begin to look."""
        self._thread = threading.Thread(
            target=self._run, args=(pacs, ledger), name="chest-ai-updates", daemon=True
        )
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """End at the next step."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(seconds)

    def told(self, name: str) -> dict[str, Any] | None:
        """What there is to say of a model's updates; None where there is nothing."""
        state = self._shelf.state
        trial, before = state.trials.get(name), state.before.get(name, ())
        told: dict[str, Any] = {}
        if trial is not None:
            enough = len(trial.compared) >= self._settings.models.shadow_series
            told = {
                "state": "offered" if enough else "shadow",
                "version": trial.version,
                "comparison": summary(trial.compared),
            }
        if name in self._refused:
            told["refused"] = self._refused[name]
        if before:
            told["before"] = before[-1] or self._shipped(name)
        return told or None

    def check(self) -> None:
        """Look into the channel now. What is wrong with it is kept in ``problem``."""
        with self._lock:
            self._checked = time.monotonic()
            try:
                self._look()
            except (ChannelError, OSError) as error:
                self._note(first_line(error))
            else:
                self._note(None)

    def install(self, name: str, version: str | None = None) -> str:
        """Use a version from now on: the one that is tried, or any that is asked for, also an older one.

        Returns the version. Raises Refused where there is none, it cannot be had, or it does not work.
        """
        with self._lock:
            trial = self._shelf.state.trials.get(name)
            wanted = version or (trial.version if trial else None)
            if wanted is None:
                raise Refused(f"no newer version of {name} was found")
            try:
                listed = self._channel.index().models
                found = next((v for v in listed if (v.name, v.version) == (name, wanted)), None)
                if found is None:
                    raise Refused(f"the channel has no version {wanted} of {name}")
                self._ready(found)
                self._shelf.install(name, wanted)
            except (ChannelError, ModelError, OSError) as error:
                raise Refused(f"{name} {wanted}: {first_line(error)}") from error
            self._changed(name, wanted)
            return wanted

    def back(self, name: str) -> str:
        """Use the version before again; which it is. Raises Refused where there is none."""
        with self._lock:
            try:
                version = self._shelf.back(name)
            except OSError as error:
                raise Refused(first_line(error)) from error
            if version is None:
                raise Refused(f"there is no version of {name} before the one in use")
            version = version or self._shipped(name)
            self._changed(name, version)
            return version

    def step(self, pacs: Pacs, ledger: Ledger) -> None:
        """Let each shadow read one series that was read already, if nothing else is being read."""
        for name, trial in list(self._shelf.state.trials.items()):
            if self._stop.is_set() or self._busy():
                return
            if len(trial.compared) < self._settings.models.shadow_series:
                self._shadow(name, trial, pacs, ledger)

    def _run(self, pacs: Pacs, ledger: Ledger) -> None:
        step_back(self._settings.niceness)
        while not self._stop.is_set():
            try:
                if (
                    not self._checked
                    or time.monotonic() - self._checked > 3600 * self._settings.models.channel_hours
                ):
                    self.check()
                self.step(pacs, ledger)
            except Stopped:
                return
            except Exception as error:  # updates are never a reason to stop reading
                log.exception("updates of models: trying again")
                self._note(first_line(error))
            self._stop.wait(_STEP_SECONDS)

    def _look(self) -> None:
        index = self._channel.index()
        if index.serial < self._shelf.state.serial:
            raise ChannelError(
                f"its list has serial number {index.serial}, but {self._shelf.state.serial} was seen before"
            )
        if index.serial > self._shelf.state.serial:
            self._shelf.keep(serial=index.serial)
        self._refused = {}
        for model in self._lineup().models:
            card = model.card
            declined = self._shelf.state.declined.get(card.name)
            least = max(number(version) for version in (card.version, declined) if version)
            newer = [v for v in index.models if v.name == card.name and v.number > least]
            if newer:
                self._try(max(newer, key=lambda version: version.number))

    def _try(self, version: Version) -> None:
        """Let a newer version run as a shadow, unless it does so already."""
        trial = self._shelf.state.trials.get(version.name)
        if trial is not None and trial.version == version.version:
            return
        try:
            self._ready(version)
        except (ChannelError, ModelError, OSError) as error:
            self._refused[version.name] = f"{version.version}: {first_line(error)}"
            log.error("model %s %s is refused: %s", version.name, version.version, first_line(error))
            return
        log.info("model %s: version %s runs as a shadow", version.name, version.version)
        begun = Trial(version=version.version, since=time.time())
        self._shelf.keep(trials=self._shelf.state.trials | {version.name: begun})
        self._shadows.pop(version.name, None)
        self._promote(version.name, begun)

    def _ready(self, version: Version) -> Model:
        """Fetch and try a version: its digests, its card, its role, its self-test.

        Raises ChannelError, ModelError or OSError, and keeps no version that fails.
        """
        folder = self._shelf.take(self._channel, version, self._go_on)
        try:
            card = _card(folder)
            if (card.name, card.version, card.file) != (version.name, version.version, GRAPH):
                raise ModelError(f"its card is that of {card.name} {card.version}, file {card.file}")
            current = next((m.card for m in self._lineup().models if m.card.name == card.name), None)
            if current is None or not same_role(card, current):
                raise ModelError("it is not made for what the model in use does")
            return self._load(folder)
        except (ModelError, OSError):
            self._shelf.drop(version.name, version.version)
            raise

    def _load(self, folder: Path) -> Model:
        return load_model(
            folder,
            thresholds=self._settings.thresholds.get(folder.parent.name, {}),
            providers=available_providers(self._settings.provider),
            threads=self._settings.inference_threads,
        )

    def _shadow(self, name: str, trial: Trial, pacs: Pacs, ledger: Ledger) -> None:
        current = next((m for m in self._lineup().models if m.card.name == name), None)
        if current is None:
            return
        seen = {one["series"] for one in trial.compared}
        done = Wanted(state=State.DONE, modality=current.card.modality, begin=trial.since, limit=_LATEST)
        for entry in ledger.page(done):
            if entry.series in seen:
                continue
            outcome = outcome_of(entry.outcome, entry.series)
            if outcome is None:
                continue
            if not any((m.name, m.sha256) == (name, current.card.sha256) for m in outcome.models):
                continue
            one = self._read(name, trial, entry.modality, outcome, pacs)
            kept = trial.model_copy(update={"compared": (*trial.compared, one)})
            with self._lock:
                if self._shelf.state.trials.get(name) == trial:  # not installed or withdrawn meanwhile
                    self._shelf.keep(trials=self._shelf.state.trials | {name: kept})
                    self._promote(name, kept)
                    if len(kept.compared) >= self._settings.models.shadow_series:
                        self._shadows.pop(name, None)  # it has read enough
            return

    def _read(
        self, name: str, trial: Trial, modality: Modality, outcome: Outcome, pacs: Pacs
    ) -> dict[str, Any]:
        """One series by the shadow. A failure is an answer too."""
        try:
            if name not in self._shadows:
                self._shadows[name] = self._load(self._shelf.folder(name, trial.version))
            lineup = exchanged(self._lineup(), self._shadows[name])
            return read(name, lineup, self._settings, modality, outcome, pacs=pacs, go_on=self._go_on)
        except Stopped:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a shadow does, it is told and nothing else
            log.warning("series %s: the shadow of %s failed: %s", outcome.series, name, first_line(error))
            return {"series": outcome.series, "failed": first_line(error)}

    def _promote(self, name: str, trial: Trial) -> None:
        """Install what was a shadow for long enough, where the settings say so and it never failed."""
        choice = self._settings.models
        if len(trial.compared) < choice.shadow_series or choice.channel_install != "auto":
            return
        if any("failed" in one for one in trial.compared):
            self._refused[name] = f"{trial.version}: it failed on a series as a shadow"
            return
        self._shelf.install(name, trial.version)
        self._changed(name, trial.version)

    def _changed(self, name: str, version: str) -> None:
        log.info("model %s: %s is in use now", name, version)
        self._shadows.pop(name, None)
        self._exchange()

    def _shipped(self, name: str) -> str:
        """The version in the model folder."""
        return _card(self._settings.models_folder / name).version

    def _go_on(self) -> None:
        """Raise Stopped where Orthanc stops."""
        if self._stop.is_set():
            raise Stopped

    def _note(self, why: str | None) -> None:
        if why is not None and why != self._why:
            log.warning("the channel of models cannot be used: %s", why)
        self._why = why


def _card(folder: Path) -> Card:
    try:
        return read_card(folder)
    except (OSError, ValueError) as error:
        raise ModelError(f"its card cannot be read: {first_line(error)}") from error
