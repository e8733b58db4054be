"""What is known of every candidate series, kept in SQL so that it survives any kill.

A series is in one of five states. ``waiting`` and ``running`` are open; ``done``, ``rejected`` and
``failed`` are settled. A waiting series has a time at which it is due; none while it is still being
received.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from plugin.domain.kinds import Modality, State
from plugin.queue import audit, rows, triage, worklist
from plugin.queue.database import reads, writes
from plugin.queue.fleet import Fleet
from plugin.queue.tables import POSITION, SERIES, Entry, Kept, LastTry, entry_of

__all__ = ["Entry", "Kept", "LastTry", "Ledger", "State"]

_CHANGES, _RECOVERY = "changes", "recovery"


class Ledger(Fleet):
    """The ledger over one database. Every method is one short transaction; safe from several threads.

    Every method but those that claim may be called a second time with the same arguments: nobody knows
    whether a commit that was answered by an error has arrived.
    """

    _counted: tuple[object | None, dict[State, int]] | None = None
    """What was counted last, and at which version."""

    @reads
    def position(self, connection: Connection) -> int | None:
        """The last position in Orthanc's changes that has been accounted for; None at the first start."""
        return rows.position_of(connection, _CHANGES)

    @writes
    def advance(
        self,
        connection: Connection,
        position: int,
        noted: Mapping[str, str],
        due: Mapping[str, float | None],
        ahead: Collection[str] = (),
    ) -> None:
        """Account for changes up to ``position`` in one transaction.

        ``noted``: series with their modality that have new content; ``due``: when each is to be read
        (None while it is still being received); ``ahead``: which of them go ahead of the others. Their
        attempts are counted anew. A series that is running is due again afterwards.
        """
        now = time.time()
        for series, modality in noted.items():
            rows.note(connection, series, modality, due.get(series), now, ahead=series in ahead)
        rows.set_position(connection, _CHANGES, position)

    @writes
    def request(self, connection: Connection, series: str, modality: str) -> None:
        """Ask for a series to be read first, whatever is known of it, with its attempts counted anew."""
        now = time.time()
        rows.note(connection, series, modality, now, now)
        rows.update(connection, series, forced=True)

    @writes
    def begin(
        self,
        connection: Connection,
        entry: Entry,
        *,
        content: str,
        reading: str,
        instances: Sequence[str],
        dated: float | None,
    ) -> float:
        """Say what is being read, and of which instances; the time that dates its results.

        That is ``dated`` where given, else the time at which this very reading was first begun.
        ``reading``: the fingerprint of the content and of all else that shapes the results. Raises LostClaim.
        """
        row = rows.claimed(connection, entry)
        if row is None:
            return dated or time.time()
        known = row["content_at"] if row["reading"] == reading else None
        moment = float(dated or known or time.time())
        rows.update(connection, entry.series, content=content, reading=reading, content_at=moment)
        rows.set_instances(connection, entry.series, instances)
        return moment

    @reads
    def series_of(self, connection: Connection, instances: Sequence[str]) -> list[str]:
        """The series of several instances that were read with any of these among them."""
        return rows.series_of(connection, instances)

    @writes
    def storing(self, connection: Connection, entry: Entry, instances: Sequence[str]) -> None:
        """Remember, before they are stored, the Orthanc instances that are about to be. Raises LostClaim."""
        row = rows.claimed(connection, entry)
        if row is not None:
            known = dict.fromkeys([*row["stored"], *instances])
            rows.update(connection, entry.series, stored=list(known))

    @writes
    def settle(
        self,
        connection: Connection,
        entry: Entry,
        state: State,
        *,
        models: str,
        outcome: dict[str, Any],
        stored: Sequence[str],
        error: str | None = None,
    ) -> None:
        """End a reading. A series that got new content meanwhile stays waiting, with this outcome kept.

        Raises LostClaim.
        """
        row = rows.claimed(connection, entry)
        if row is None:
            return
        again = row["state"] == State.WAITING
        rows.release(
            connection,
            entry.series,
            state=State.WAITING if again else state,
            forced=again and row["forced"],
            last_try=row["last_try"] if state == State.FAILED and not again else None,
            models=models,
            outcome=outcome,
            stored=list(stored),
            error=error,
            **triage.columns(outcome, entry.series),
        )

    @writes
    def retry(
        self, connection: Connection, entry: Entry, error: str, delay: float, *, last_try: bool = False
    ) -> None:
        """Let a series be tried again after ``delay`` seconds; with ``last_try`` for the last time, alone.

        Raises LostClaim.
        """
        row = rows.claimed(connection, entry)
        if row is None:
            return
        values: dict[str, Any] = {"error": error}
        if row["state"] == State.RUNNING:
            values |= {"state": State.WAITING, "due_at": time.time() + delay}
            if last_try:  # the claim that found the attempts used up was none
                values |= {"last_try": LastTry.OWED, "attempts": row["attempts"] - 1}
        rows.release(connection, entry.series, **values)

    @writes
    def forget(self, connection: Connection, series: str, *, claim: Entry | None = None) -> None:
        """Drop a series that Orthanc no longer holds. Raises LostClaim where that is said under one."""
        if claim is not None:
            rows.claimed(connection, claim)
        connection.execute(sa.delete(SERIES).where(SERIES.c.series == series))
        rows.set_instances(connection, series, ())

    @writes
    def restart(self, connection: Connection, *, lineups: Mapping[Modality, str]) -> None:
        """Put right what the last process left, at start.

        What was running is due at once; what somebody else reads, when its lease has expired. What failed
        with other models is tried again (``lineups``: today's fingerprint by modality); what ended Orthanc,
        once and alone.
        """
        now = time.time()
        due = {"state": State.WAITING, "due_at": now, "updated_at": now}
        rows.take_away(connection, rows.held_by(self.holder) | rows.expired(rows.now(connection)))
        for modality, models in lineups.items():
            failed = sa.update(SERIES).where(
                SERIES.c.state == State.FAILED, SERIES.c.modality == modality, SERIES.c.models != models
            )
            connection.execute(
                failed.where(SERIES.c.last_try.is_not(None)).values(due | {"last_try": LastTry.OWED})
            )
            connection.execute(failed.where(SERIES.c.last_try.is_(None)).values(due | {"attempts": 0}))

    @writes
    def expect_no_announcement(self, connection: Connection, stable_age: float) -> None:
        """Let what is being received be due after ``stable_age`` seconds, unless more of it comes.

        At start: Orthanc announces no stability of what it received before it was killed.
        """
        now = time.time()
        connection.execute(
            sa.update(SERIES).where(rows.RECEIVED).values(due_at=now + stable_age, updated_at=now)
        )

    @writes
    def look_again(self, connection: Connection, series: str, due: float) -> None:
        """Let a known series be looked at again at that time; one that is being read, after its reading."""
        row = rows.row_of(connection, series)
        if row is not None:
            rows.note(connection, series, row["modality"], due, time.time())

    @writes
    def make_due(self, connection: Connection, series: str) -> None:
        """Let a waiting series be read now."""
        rows.update(connection, series, due_at=time.time())

    @reads
    def get(self, connection: Connection, series: str) -> Entry | None:
        """One series, or None if the ledger does not know it."""
        row = connection.execute(sa.select(SERIES).where(SERIES.c.series == series)).mappings().first()
        return None if row is None else entry_of(row)

    @reads
    def entries(
        self, connection: Connection, *, state: State | None, since: float, limit: int
    ) -> list[Entry]:
        """Series updated at or after ``since`` (seconds of the epoch), the latest first."""
        query = sa.select(SERIES).where(SERIES.c.updated_at >= since)
        if state is not None:
            query = query.where(SERIES.c.state == state)
        query = query.order_by(SERIES.c.updated_at.desc()).limit(limit)
        return [entry_of(row) for row in connection.execute(query).mappings()]

    @reads
    def page(self, connection: Connection, wanted: worklist.Wanted) -> list[Entry]:
        """The series that are wanted, in their order; one more than ``limit`` where there are more."""
        return worklist.page(connection, wanted)

    @reads
    def stations(self, connection: Connection) -> list[str]:
        """The stations that series come from, by name."""
        return worklist.stations(connection)

    @reads
    def next_ones(self, connection: Connection, limit: int) -> list[Entry]:
        """What waits, in the order in which it is to be read; last what is still being received."""
        return worklist.next_ones(connection, limit)

    @writes
    def record(self, connection: Connection, user: str | None, action: str, status: int) -> None:
        """Write down what somebody asked for; ``user``: None where nobody has checked who it was."""
        audit.record(connection, user, action, status)

    @reads
    def actions(self, connection: Connection, before: int | None, limit: int) -> list[dict[str, Any]]:
        """Some of what people asked for, the latest first; ``before``: only what has a lower number."""
        return audit.page(connection, before, limit)

    @reads
    def still_receiving(self, connection: Connection, before: float) -> list[str]:
        """Series that wait for their stability and have had no news since ``before``."""
        query = sa.select(SERIES.c.series).where(rows.RECEIVED, SERIES.c.updated_at < before)
        return list(connection.scalars(query))

    def counts(self) -> dict[State, int]:
        """How many series are in each state.

        Counting takes longer the more series there are, and is asked for all the time: it is done again only
        after something was written.
        """
        version, known = self.version, self._counted
        if known is None or version is None or known[0] is not version:
            known = self._counted = (version, self._count())
        return dict(known[1])

    @reads
    def _count(self, connection: Connection) -> dict[State, int]:
        query = sa.select(SERIES.c.state, sa.func.count()).group_by(SERIES.c.state)
        found = {State(state): int(count) for state, count in connection.execute(query)}
        return {state: found.get(state, 0) for state in State}

    @reads
    def next_due(self, connection: Connection) -> float | None:
        """The earliest time at which a waiting series is due, in seconds of the epoch; last tries apart."""
        query = sa.select(sa.func.min(SERIES.c.due_at)).where(
            SERIES.c.state == State.WAITING, SERIES.c.last_try.is_distinct_from(LastTry.OWED)
        )
        value = connection.scalar(query)
        return None if value is None else float(value)

    @reads
    def recovered(self, connection: Connection) -> int | None:
        """How many of Orthanc's series the recovery has looked at; None where none goes on."""
        return rows.position_of(connection, _RECOVERY)

    @writes
    def recover(self, connection: Connection, found: Mapping[str, Kept], looked_at: int | None) -> None:
        """Write down outcomes kept beside the images, by series, unless the ledger knows the series.

        ``looked_at``: how many of Orthanc's series have been, None when that was all.
        """
        now = time.time()
        for series, kept in found.items():
            if rows.row_of(connection, series) is None:
                triaged = triage.columns(kept.outcome, series)
                rows.insert(connection, series, now, **asdict(kept), **triaged)
        if looked_at is None:
            connection.execute(sa.delete(POSITION).where(POSITION.c.name == _RECOVERY))
        else:
            rows.set_position(connection, _RECOVERY, looked_at)
