"""The versions that came over a channel, on disk, and which of them is in use.

A version's folder appears whole or not at all, and ``state.json`` is replaced in one step: whenever the
process is killed, what was in use before is in use after.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from plugin.updates.channel import Channel, Version

log = logging.getLogger(__name__)

_STATE = "state.json"
_PART = ".part"


class Trial(BaseModel):
    """A version that runs as a shadow, or has: since when (seconds of the epoch), what it said of which
    series."""

    model_config = ConfigDict(frozen=True)

    version: str
    since: float
    compared: tuple[dict[str, Any], ...] = ()


class State(BaseModel):
    """What is kept: the latest list's serial, versions in use and before by model, trials by model.

    A model whose version is not in ``installed`` is the one of the model folder; in ``before`` that is
    the empty text.
    """

    model_config = ConfigDict(frozen=True)

    serial: int = 0
    installed: dict[str, str] = {}
    before: dict[str, tuple[str, ...]] = {}
    trials: dict[str, Trial] = {}
    declined: dict[str, str] = {}
    """By model the version that was taken back: neither it nor an older one is offered again."""


class Shelf:
    """A folder of versions, and the state of them."""

    def __init__(self, folder: Path) -> None:
        """Makes the folder, and clears away what was cut off. Raises OSError."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for part in folder.glob(f"*/*{_PART}"):
            shutil.rmtree(part)
        self.state = self._kept()

    @property
    def installed(self) -> dict[str, Path]:
        """The folders of the versions in use, by model."""
        return {name: self.folder(name, version) for name, version in self.state.installed.items()}

    def folder(self, name: str, version: str) -> Path:
        """Where a version lies, or would."""
        return self._folder / name / version

    def take(self, channel: Channel, version: Version, progress: Callable[[], None]) -> Path:
        """Fetch a version unless it is here; its folder.

        Raises ChannelError and OSError, and then leaves nothing behind.
        """
        target = self.folder(version.name, version.version)
        if target.is_dir():
            return target
        part = target.with_name(version.version + _PART)
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        try:
            channel.fetch(version, part, progress)
            for path in (*part.iterdir(), part):
                _to_disk(path)
            part.rename(target)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        return target

    def drop(self, name: str, version: str) -> None:
        """Remove a version that cannot be used."""
        shutil.rmtree(self.folder(name, version), ignore_errors=True)

    def keep(self, **changes: Any) -> None:
        """Change the state, on disk first. Raises OSError, and then nothing has changed."""
        state = self.state.model_copy(update=changes)
        path = self._folder / _STATE
        fresh = path.with_suffix(_PART)
        fresh.write_text(state.model_dump_json(indent=1), encoding="utf-8")
        _to_disk(fresh)
        fresh.replace(path)
        self.state = state

    def install(self, name: str, version: str) -> None:
        """Use a version from now on, and remember the one before."""
        state = self.state
        before = (*state.before.get(name, ()), state.installed.get(name, ""))
        self.keep(
            installed=state.installed | {name: version},
            before=state.before | {name: before},
            trials={model: trial for model, trial in state.trials.items() if model != name},
            declined={model: said for model, said in state.declined.items() if model != name},
        )

    def back(self, name: str) -> str | None:
        """Use the version before again: which that is (empty: the model folder's); None without one."""
        state = self.state
        before = state.before.get(name, ())
        if not before:
            return None
        *earlier, version = before
        others = {model: used for model, used in state.installed.items() if model != name}
        self.keep(
            installed=others | ({name: version} if version else {}),
            before=state.before | {name: tuple(earlier)},
            declined=state.declined | {name: state.installed.get(name, "")},
        )
        return version

    def _kept(self) -> State:
        try:
            return State.model_validate_json((self._folder / _STATE).read_bytes())
        except FileNotFoundError:
            return State()
        except ValidationError:
            log.error("%s cannot be read: the models of the model folder are used", self._folder / _STATE)
            return State()


def _to_disk(path: Path) -> None:
    """Wait until a file, or a folder's list of files, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
