"""Fills a new ledger after one was lost, from the outcomes that Orthanc keeps with each series."""

from __future__ import annotations

import logging

from plugin.domain.errors import NoCandidate, NotHeld
from plugin.domain.pacs import OwnPacs
from plugin.queue.intake import Intake
from plugin.queue.ledger import Kept, Ledger

log = logging.getLogger(__name__)

_PAGE = 200


class Recovery:
    """Goes through Orthanc's series a page at a time, so that reading goes on meanwhile; survives a kill."""

    def __init__(self, pacs: OwnPacs, ledger: Ledger, intake: Intake) -> None:
        """``intake`` tells which series are candidates."""
        self._pacs = pacs
        self._ledger = ledger
        self._intake = intake
        self._looked_at = ledger.recovered()

    def step(self) -> bool:
        """Write down what one more page of series keeps, if the ledger is being recovered; whether it is."""
        if self._looked_at is None:
            return False
        page = self._pacs.series_page(self._looked_at, _PAGE)
        found = {series: kept for series in page if (kept := self._kept(series)) is not None}
        looked_at = self._looked_at + len(page) if page else None
        self._ledger.recover(found, looked_at)
        if looked_at is None:
            log.info("the ledger is filled again: %d series were looked at", self._looked_at)
        self._looked_at = looked_at
        return looked_at is not None

    def _kept(self, series: str) -> Kept | None:
        outcome = self._pacs.outcome(series)
        if outcome is None:
            return None
        try:
            modality = self._intake.modality(series)
        except (NotHeld, NoCandidate):
            return None
        return Kept(
            modality=modality,
            state=outcome.state,
            content=outcome.content,
            models=outcome.recipe,
            outcome=outcome.as_json(),
            stored=list(outcome.stored),
        )
