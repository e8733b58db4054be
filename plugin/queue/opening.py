"""The ledger at a start: opened for this Orthanc, renewed where it is broken, put right."""

from __future__ import annotations

import logging
import time
import uuid

from plugin.domain.kinds import Modality
from plugin.domain.pacs import OwnPacs
from plugin.models.lineup import Lineup
from plugin.queue.database import set_aside
from plugin.queue.ledger import Ledger
from plugin.queue.recipe import recipe
from plugin.queue.schema import UnusableLedger
from plugin.settings import Settings

log = logging.getLogger(__name__)


def open_ledger(url: str, pacs: OwnPacs, lineup: Lineup, settings: Settings, *, holder: str) -> Ledger:
    """The ledger of this Orthanc. ``holder``: in whose name it claims.

    Raises Unavailable while its database does not answer or another Orthanc uses it, LedgerError where
    waiting is no help.
    """
    known = pacs.identity()
    own = known or str(uuid.uuid4())
    if known is None:
        pacs.keep_identity(own)

    def opened() -> Ledger:
        return Ledger(
            url,
            owner=settings.archive or own,
            former=own,
            alone=settings.engine == "embedded",
            holder=holder,
            lease_seconds=settings.lease_seconds,
        )

    try:
        ledger = opened()
    except UnusableLedger as error:
        if settings.broken_ledger != "renew":
            raise
        aside = set_aside(url, time.strftime("%Y%m%dT%H%M%S"))
        log.warning("%s. It was renamed to %s, and a new one takes its place", error, aside)
        ledger = opened()
    try:
        _put_right(ledger, lineup, settings, lost=ledger.is_new and known is not None)
    except Exception:
        ledger.close()  # or it would be in the way of the next try
        raise
    return ledger


def _put_right(ledger: Ledger, lineup: Lineup, settings: Settings, *, lost: bool) -> None:
    """``lost``: there was another ledger before this one, which is new."""
    if lost:
        log.warning("the ledger is new, but an earlier one existed: filling it from what Orthanc holds")
        ledger.recover({}, 0)
    off = settings.switched_off
    recipes = {which: recipe(lineup, settings, which) for which in Modality if which not in off}
    ledger.restart(lineups=recipes)
    if settings.engine != "embedded":
        ledger.read_with(recipes)
