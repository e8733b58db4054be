"""The embedded engine: a thread of Orthanc's own process that takes what is due and has it read."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from plugin.domain.pacs import Pacs
from plugin.models.lineup import Lineup
from plugin.queue.database import Unavailable, reason
from plugin.queue.ledger import Ledger
from plugin.queue.loop import Loop
from plugin.queue.reader import Reader, step_back
from plugin.settings import Settings

log = logging.getLogger(__name__)


class Worker(Loop):
    """One thread that reads series, one at a time; the only one that claims in its ledger's holder's name.

    A write to the ledger that fails is repeated until it succeeds or Orthanc stops. A stop ends the reading
    at its next step; what was begun is given back.
    """

    def __init__(self, pacs: Pacs, ledger: Ledger, lineup: Lineup, settings: Settings) -> None:
        """Nothing runs before :meth:`start`."""
        super().__init__("chest-ai-worker")
        self._settings = settings
        self._ledger = ledger.insisting(self._stop)
        self._reader = Reader(pacs, self._ledger, lineup, settings, stopping=self._stop)

    @property
    def running(self) -> list[dict[str, Any]]:
        """What is being read now: series, stage, progress 0 to 1."""
        return self._reader.running

    @property
    def trouble(self) -> str | None:
        """Why the ledger cannot be written, or Orthanc keep results, while the worker waits for it."""
        trouble = self._ledger.trouble
        if trouble is None:
            return self._reader.trouble
        return f"the ledger cannot be written: {trouble}; it is tried again until it can"

    @property
    def keeps(self) -> bool:
        """Nobody shares the ledger."""
        return True

    def status(self) -> dict[str, Any]:
        """Nothing besides."""
        return {}

    def metrics(self) -> Mapping[str, float]:
        """Nothing besides."""
        return {}

    def use(self, lineup: Lineup) -> None:
        """Read with other models from the next series on."""
        self._reader.use(lineup)

    def _work(self) -> None:
        step_back(self._settings.niceness)
        super()._work()

    def _step(self) -> float:
        due = None
        try:
            for series in self._ledger.take_back():
                log.warning("series %s was claimed but is not being read: it will be read again", series)
            for series in self._ledger.expire():
                log.warning("series %s: its reader is silent: it will be read again", series)
            entry = self._ledger.claim()
            if entry is not None:
                self._reader.read(entry)
                return 0.0
            due = self._ledger.next_due()
        except Exception as error:  # the worker must outlive anything
            if self._stop.is_set() and isinstance(error, Unavailable):
                log.warning("the ledger cannot be used while Orthanc stops: %s", reason(error))
                return 0.0
            log.exception("the ledger cannot be used; trying again")
        return 5.0 if due is None else min(5.0, max(0.05, due - time.time()))
