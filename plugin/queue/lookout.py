"""What is looked at all the time while Orthanc runs: what was deleted, what has changed, how much waits."""

from __future__ import annotations

import itertools
import logging
import time
from collections import deque
from collections.abc import Callable

from plugin.domain.pacs import OwnPacs
from plugin.queue.database import reason
from plugin.queue.engine import Engine
from plugin.queue.intake import Intake
from plugin.queue.ledger import Ledger
from plugin.queue.recovery import Recovery

log = logging.getLogger(__name__)

_DELETIONS = 1000
"""How many of Orthanc's deletions are accounted for together."""


class Lookout:
    """Keeps the ledger abreast of Orthanc, and Orthanc's metrics of the ledger. Used by one thread."""

    def __init__(
        self,
        pacs: OwnPacs,
        ledger: Ledger,
        intake: Intake,
        engine: Engine,
        *,
        deleted: deque[str],
        stable_age: float,
    ) -> None:
        """``deleted``: the series and instances that Orthanc has deleted, as they come; ``stable_age``:
        Orthanc's StableAge in seconds.
        """
        self.trouble: str | None = None
        """Why nothing can be found out now."""
        self._pacs = pacs
        self._ledger = ledger
        self._intake = intake
        self._engine = engine
        self._deleted = deleted
        self._stable_age = stable_age
        self._recovery = Recovery(pacs, ledger, intake)
        self._caught_up = False

    def look(self, stopping: Callable[[], bool]) -> bool:
        """Look once; whether there is more to look at right away. Never raises: ``trouble`` says why."""
        more = False
        try:
            while self._deleted:
                together = list(itertools.islice(self._deleted, _DELETIONS))
                self._intake.deleted(together)
                for _ in together:
                    self._deleted.popleft()  # not before the ledger knows
            if self._engine.keeps:
                more = self._catch_up(stopping)
            self._tell_metrics()
        except Exception as error:  # the intake must outlive anything, such as a full disk
            trouble = f"Orthanc's changes cannot be read: {reason(error)}"
            if trouble != self.trouble:  # else a full disk fills further, with one trace every few seconds
                log.exception("Orthanc's changes cannot be read; trying again")
            self.trouble = trouble
        else:
            self.trouble = None
        return more and self.trouble is None

    def _catch_up(self, stopping: Callable[[], bool]) -> bool:
        self._intake.catch_up(stopping, self._engine.wake)
        if not self._caught_up and not stopping():
            self._ledger.expect_no_announcement(self._stable_age)
            self._caught_up = True
        self._engine.wake()
        return self._recovery.step()

    def _tell_metrics(self) -> None:
        for state, count in self._ledger.counts().items():
            self._pacs.set_metric(f"ai_series_{state.value}", count)
        due = self._ledger.next_due()
        late = 0.0 if due is None else max(0.0, time.time() - due)
        self._pacs.set_metric("ai_oldest_waiting_seconds", late)
        for name, value in self._engine.metrics().items():
            self._pacs.set_metric(name, value)
