"""What is known of every candidate series, kept in SQL so that it survives any kill.

A series is in one of five states. ``waiting`` and ``running`` are open; ``done``, ``rejected`` and
``failed`` are settled. A waiting series has a time at which it is due; none while it is still being
received.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from plugin.domain.kinds import Modality
from plugin.queue.tables import METADATA, POSITION, SERIES, SETTLED, Entry, State, entry_of

__all__ = ["Entry", "Ledger", "State"]


class Ledger:
    """The ledger over one database. Every method is one short transaction; safe from several threads."""

    def __init__(self, url: str) -> None:
        """Open (and create) the ledger at an SQLAlchemy URL. Raises sqlalchemy.exc.SQLAlchemyError."""
        self._engine = sa.create_engine(url)
        if self._engine.dialect.name == "sqlite":
            sa.event.listen(self._engine, "connect", _set_up_sqlite)
            sa.event.listen(self._engine, "begin", _begin_writing)
        METADATA.create_all(self._engine)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def position(self) -> int | None:
        """The last position in Orthanc's changes that has been accounted for; None at the first start."""
        with self._engine.begin() as connection:
            value = connection.scalar(sa.select(POSITION.c.value).where(POSITION.c.name == "changes"))
        return None if value is None else int(value)

    def advance(self, position: int, noted: Mapping[str, str], due: Mapping[str, float | None]) -> None:
        """Account for changes up to ``position`` in one transaction.

        ``noted``: series with their modality that have new content; ``due``: when each is to be read
        (None while it is still being received). A series that is running is due again afterwards.
        """
        now = time.time()
        with self._engine.begin() as connection:
            for series, modality in noted.items():
                self._note(connection, series, modality, due.get(series), now)
            changed = connection.execute(
                sa.update(POSITION).where(POSITION.c.name == "changes").values(value=position)
            )
            if changed.rowcount == 0:
                connection.execute(sa.insert(POSITION).values(name="changes", value=position))

    def request(self, series: str, modality: str) -> None:
        """Ask for a series to be read now, whatever is known of it, with its attempts counted anew."""
        now = time.time()
        with self._engine.begin() as connection:
            self._note(connection, series, modality, now, now)
            self._update(connection, series, forced=True, attempts=0)

    def claim(self) -> Entry | None:
        """Take the series that is due: X-rays first, for they take a second, then by the time due.

        It is ``running`` from now on, and this counts as an attempt. The entry given tells when it was
        due.
        """
        now = time.time()
        x_rays_first = sa.case((SERIES.c.modality == Modality.XRAY, 0), else_=1)
        choice = (
            sa.select(SERIES)
            .where(SERIES.c.state == State.WAITING, SERIES.c.due_at <= now)
            .order_by(x_rays_first, SERIES.c.due_at)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        with self._engine.begin() as connection:
            row = connection.execute(choice).mappings().first()
            if row is None:
                return None
            values = {
                "state": State.RUNNING,
                "due_at": None,
                "attempts": row["attempts"] + 1,
            }
            self._update(connection, row["series"], **values)
            return entry_of({**row, **values, "due_at": row["due_at"]})

    def begin(self, series: str, content: str) -> float:
        """Say which content is being read; the time that dates its results (the first time it was)."""
        now = time.time()
        with self._engine.begin() as connection:
            row = self._row(connection, series)
            if row is not None and row["content"] == content and row["content_at"] is not None:
                return float(row["content_at"])
            self._update(connection, series, content=content, content_at=now)
        return now

    def storing(self, series: str, instances: Sequence[str]) -> None:
        """Remember, before they are stored, the Orthanc instances that are about to be."""
        with self._engine.begin() as connection:
            row = self._row(connection, series)
            if row is not None:
                known = dict.fromkeys([*row["stored"], *instances])
                self._update(connection, series, stored=list(known))

    def settle(
        self,
        series: str,
        state: State,
        *,
        models: str,
        outcome: dict[str, Any],
        stored: Sequence[str],
        error: str | None = None,
    ) -> None:
        """End a reading. A series that got new content meanwhile stays waiting, with this outcome kept."""
        with self._engine.begin() as connection:
            row = self._row(connection, series)
            if row is None:
                return
            again = row["state"] == State.WAITING
            self._update(
                connection,
                series,
                state=State.WAITING if again else state,
                attempts=0 if again else row["attempts"],
                forced=again and row["forced"],
                models=models,
                outcome=outcome,
                stored=list(stored),
                error=error,
            )

    def retry(self, series: str, error: str, delay: float) -> None:
        """Give a failed attempt back, to be tried again after ``delay`` seconds."""
        with self._engine.begin() as connection:
            row = self._row(connection, series)
            if row is None:
                return
            due = row["due_at"] if row["state"] == State.WAITING else time.time() + delay
            self._update(connection, series, state=State.WAITING, due_at=due, error=error)

    def give_back(self, series: str) -> None:
        """Give back a series whose reading was stopped by a shutdown: this attempt does not count."""
        with self._engine.begin() as connection:
            row = self._row(connection, series)
            if row is not None:
                attempts = max(0, row["attempts"] - 1)
                values = {"state": State.WAITING, "attempts": attempts}
                self._update(connection, series, **values, due_at=row["due_at"] or time.time())

    def forget(self, series: str) -> None:
        """Drop a series that Orthanc no longer holds."""
        with self._engine.begin() as connection:
            connection.execute(sa.delete(SERIES).where(SERIES.c.series == series))

    def restart(self, *, lineups: Mapping[str, str], stable_age: float) -> None:
        """Put right what the last process left, at start.

        What was running is due at once. What was being received is due after ``stable_age`` seconds,
        since Orthanc announces no stability for what it received before it was killed. What failed
        with other models is tried again (``lineups``: today's fingerprint by modality).
        """
        now = time.time()
        with self._engine.begin() as connection:
            update = sa.update(SERIES)
            connection.execute(
                update.where(SERIES.c.state == State.RUNNING).values(
                    state=State.WAITING, due_at=now, updated_at=now
                )
            )
            connection.execute(
                update.where(SERIES.c.state == State.WAITING, SERIES.c.due_at.is_(None)).values(
                    due_at=now + stable_age, updated_at=now
                )
            )
            for modality, models in lineups.items():
                failed = (SERIES.c.state == State.FAILED) & (SERIES.c.modality == modality)
                connection.execute(
                    update.where(failed, SERIES.c.models != models).values(
                        state=State.WAITING, due_at=now, attempts=0, updated_at=now
                    )
                )

    def get(self, series: str) -> Entry | None:
        """One series, or None if the ledger does not know it."""
        with self._engine.begin() as connection:
            row = self._row(connection, series)
        return None if row is None else entry_of(row)

    def entries(self, *, state: State | None, since: float, limit: int) -> list[Entry]:
        """Series updated at or after ``since`` (seconds of the epoch), the latest first."""
        query = sa.select(SERIES).where(SERIES.c.updated_at >= since)
        if state is not None:
            query = query.where(SERIES.c.state == state)
        query = query.order_by(SERIES.c.updated_at.desc()).limit(limit)
        with self._engine.begin() as connection:
            return [entry_of(row) for row in connection.execute(query).mappings()]

    def still_receiving(self, before: float) -> list[str]:
        """Series that wait for their stability and have had no news since ``before``."""
        query = sa.select(SERIES.c.series).where(
            SERIES.c.state == State.WAITING, SERIES.c.due_at.is_(None), SERIES.c.updated_at < before
        )
        with self._engine.begin() as connection:
            return list(connection.scalars(query))

    def make_due(self, series: str) -> None:
        """Let a waiting series be read now."""
        with self._engine.begin() as connection:
            self._update(connection, series, due_at=time.time())

    def counts(self) -> dict[State, int]:
        """How many series are in each state."""
        query = sa.select(SERIES.c.state, sa.func.count()).group_by(SERIES.c.state)
        with self._engine.begin() as connection:
            found = {State(state): int(count) for state, count in connection.execute(query)}
        return {state: found.get(state, 0) for state in State}

    def next_due(self) -> float | None:
        """The earliest time at which a waiting series is due, in seconds of the epoch."""
        query = sa.select(sa.func.min(SERIES.c.due_at)).where(SERIES.c.state == State.WAITING)
        with self._engine.begin() as connection:
            value = connection.scalar(query)
        return None if value is None else float(value)

    @staticmethod
    def _row(connection: Connection, series: str) -> RowMapping | None:
        query = sa.select(SERIES).where(SERIES.c.series == series)
        return connection.execute(query).mappings().first()

    def _note(
        self, connection: Connection, series: str, modality: str, due: float | None, now: float
    ) -> None:
        row = self._row(connection, series)
        values = {"modality": modality, "due_at": due, "state": State.WAITING, "updated_at": now}
        if row is None:
            connection.execute(
                sa.insert(SERIES).values(series=series, noted_at=now, attempts=0, stored=[], **values)
            )
        else:
            attempts = 0 if row["state"] in SETTLED else row["attempts"]
            self._update(connection, series, attempts=attempts, **values)

    @staticmethod
    def _update(connection: Connection, series: str, **values: Any) -> None:
        values.setdefault("updated_at", time.time())
        connection.execute(sa.update(SERIES).where(SERIES.c.series == series).values(**values))


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin as _begin_writing says
    # FULL: a commit is on the disk when it returns, also where the machine loses its power.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_writing(connection: Connection) -> None:
    # A transaction that reads first and then writes fails at once, without waiting, where another
    # thread has written in between; one that takes the write lock at its start waits for its turn.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
