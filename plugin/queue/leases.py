"""Claims: which series is read by whom, until when, and who may still write down how it ended.

A claim is a lease. Its holder renews it while it reads, and one that is not renewed expires: the series is
due again. Every claim of a series has a fence, a number above that of the claim before. Whatever is written
under a claim names its fence, so that a holder that was taken for dead and comes back writes nothing over
its successor.
"""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from plugin.domain.kinds import State
from plugin.queue import rows
from plugin.queue.database import Database, Unavailable, reads, reason, writes
from plugin.queue.rows import LostClaim
from plugin.queue.tables import SERIES, Entry, LastTry, entry_of

__all__ = ["EMBEDDED", "LEASE_SECONDS", "Heartbeat", "Leases", "LostClaim"]

log = logging.getLogger(__name__)

EMBEDDED = "embedded"
"""The holder of a ledger that one Orthanc alone reads from."""

LEASE_SECONDS = 60.0

_BEATS = 4
"""How often a lease is renewed while it lasts."""


class Leases(Database):
    """What a ledger knows of claims. Every method is one short transaction; safe from several threads."""

    def __init__(
        self,
        url: str,
        *,
        owner: str | None = None,
        former: str | None = None,
        alone: bool = False,
        holder: str = EMBEDDED,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        """``owner``, ``former``, ``alone``: as for a Database; ``holder``: who claims, one series at once."""
        super().__init__(url, owner=owner, former=former, alone=alone)
        self.holder = holder
        self.lease_seconds = lease_seconds

    def claim(self) -> Entry | None:
        """Take the series that is due. First comes what somebody asked for or the site calls urgent, then
        X-rays, for they take a second; among these what was due first.

        A series that is owed a last try is taken when no other is due or waits to be tried again. It is
        ``running`` from now on, and this counts as an attempt. The entry given tells when it was due, and
        how it stood with its last try before.
        """
        return self._claim() if self._is_due() else None

    @reads
    def _is_due(self, connection: Connection) -> bool:
        due = rows.due_now(rows.now(connection), self.holder)
        query = due.with_only_columns(SERIES.c.series).order_by(None).limit(1)  # whether, not which
        return connection.execute(query).first() is not None

    @writes
    def _claim(self, connection: Connection) -> Entry | None:
        now = rows.now(connection)
        choice = rows.due_now(now, self.holder).limit(1).with_for_update(skip_locked=True)
        row = connection.execute(choice).mappings().first()
        return None if row is None else self._take(connection, row, now)

    @writes
    def claim_one(self, connection: Connection, series: str) -> Entry | None:
        """Take this very series, if it is due and nobody else's (see :meth:`claim`)."""
        now = rows.now(connection)
        choice = rows.due_now(now, self.holder).where(SERIES.c.series == series)
        row = connection.execute(choice.with_for_update(skip_locked=True)).mappings().first()
        return None if row is None else self._take(connection, row, now)

    def _take(self, connection: Connection, row: RowMapping, now: float) -> Entry | None:
        """Make a row this holder's, unless it is to wait for others."""
        if row["last_try"] == LastTry.OWED and rows.others_wait(connection):
            return None
        values: dict[str, Any] = {"state": State.RUNNING, "due_at": None, "attempts": row["attempts"] + 1}
        values |= {"fence": row["fence"] + 1, "holder": self.holder, "heartbeat": now}
        values |= {"lease_until": now + self.lease_seconds, "published_at": None}
        begun = LastTry.BEGUN if row["last_try"] is not None else None
        rows.update(connection, row["series"], **values, last_try=begun)
        return entry_of({**row, **values, "due_at": row["due_at"]})

    @writes
    def renew(self, connection: Connection, entry: Entry) -> bool:
        """Let a claim last again; whether it is still one."""
        now = rows.now(connection)
        renewed = connection.execute(
            sa.update(SERIES)
            .where(SERIES.c.series == entry.series, SERIES.c.fence == entry.fence)
            .values(heartbeat=now, lease_until=now + self.lease_seconds)
        )
        return renewed.rowcount > 0

    @reads
    def check(self, connection: Connection, entry: Entry) -> None:
        """Raise LostClaim where a claim is none any more; a series that was forgotten is nobody's."""
        query = sa.select(SERIES.c.fence).where(SERIES.c.series == entry.series)
        rows.check_fence(entry, connection.scalar(query))

    @writes
    def give_back(self, connection: Connection, entry: Entry) -> None:
        """Give back a series whose reading was stopped by a shutdown: this attempt does not count.

        Raises LostClaim.
        """
        rows.claimed(connection, entry)
        rows.give_back(connection, SERIES.c.series == entry.series)

    def take_back(self) -> list[str]:
        """Make due what this holder is said to read, while it reads nothing; those series.

        Only between two readings: such a series was taken by a claim whose answer was lost. That attempt
        does not count.
        """
        return self._take_back() if self._holds_any() else []

    @reads
    def _holds_any(self, connection: Connection) -> bool:
        query = sa.select(SERIES.c.series).where(rows.held_by(self.holder)).limit(1)
        return connection.execute(query).first() is not None

    @writes
    def _take_back(self, connection: Connection) -> list[str]:
        mine = rows.held_by(self.holder)
        stale = list(connection.scalars(sa.select(SERIES.c.series).where(mine)))
        rows.give_back(connection, mine)
        return stale

    @writes
    def cut_off(self, connection: Connection) -> list[str]:
        """Make due what this holder was reading when it ended in the middle; those series.

        Only before it reads anything again. The attempt counts.
        """
        return rows.take_away(connection, rows.OPEN & (SERIES.c.holder == self.holder))

    def expire(self) -> list[str]:
        """Make due what is being read under a lease that has expired; those series. The attempt counts."""
        return self._expire() if self._any_expired() else []

    @reads
    def _any_expired(self, connection: Connection) -> bool:
        query = sa.select(SERIES.c.series).where(rows.expired(rows.now(connection))).limit(1)
        return connection.execute(query).first() is not None

    @writes
    def _expire(self, connection: Connection) -> list[str]:
        return rows.take_away(connection, rows.expired(rows.now(connection)))


class Heartbeat:
    """Renews the lease of a claim on a thread of its own, as long as the ``with`` lasts."""

    def __init__(self, ledger: Leases, entry: Entry) -> None:
        """``entry``: as the claim gave it."""
        self.lost = False
        """Whether the claim has passed to somebody else."""
        self._ledger = ledger
        self._entry = entry
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="chest-ai-heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._end.wait(self._ledger.lease_seconds / _BEATS):
            try:
                self.lost = not self._ledger.renew(self._entry)
            except Unavailable as error:  # whoever reads on without its lease is stopped by the fence
                log.warning("series %s: its lease is not renewed: %s", self._entry.series, reason(error))
            if self.lost:
                return
