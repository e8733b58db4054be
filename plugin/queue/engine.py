"""Who reads: the seam between what is owed and what reads it. Another engine is one more module behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from plugin.domain.pacs import OwnPacs
from plugin.models.lineup import Lineup
from plugin.queue.ledger import Ledger
from plugin.queue.worker import Worker
from plugin.settings import Settings, SettingsError


class Engine(Protocol):
    """Has what is due in the ledger read, by :class:`plugin.queue.reader.Reader`, wherever that runs."""

    @property
    def running(self) -> list[dict[str, Any]]:
        """What is being read now: series, stage, progress 0 to 1."""

    @property
    def trouble(self) -> str | None:
        """Why nothing can be read, while the engine waits for it."""

    @property
    def keeps(self) -> bool:
        """Whether this Orthanc is the one that finds out what is owed, of those that share the ledger."""

    def status(self) -> dict[str, Any]:
        """What ``GET /ai/status`` says of the engine besides."""

    def metrics(self) -> Mapping[str, float]:
        """What Orthanc's metrics say of it besides."""

    def use(self, lineup: Lineup) -> None:
        """Read with other models from the next series on."""

    def start(self) -> None:
        """Begin to work."""

    def wake(self) -> None:
        """Look into the ledger now."""

    def stop(self, seconds: float) -> bool:
        """End; whether it did within so long."""


def make_engine(pacs: OwnPacs, ledger: Ledger, lineup: Lineup, settings: Settings) -> Engine:
    """The engine that the settings choose. Raises SettingsError where it is not installed."""
    if settings.engine == "embedded":
        return Worker(pacs, ledger, lineup, settings)
    try:
        from plugin.remote.publisher import Publisher
    except ImportError as error:
        raise SettingsError(
            f'Engine "celery" is not installed ({error}): run "./run install --celery"'
        ) from error
    return Publisher(ledger, settings)
