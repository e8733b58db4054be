"""What processes that share a ledger know of each other: publications, workers, roles, recipes.

The engine "celery" alone uses it (docs/scaling.md).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from plugin.domain.kinds import Modality, State
from plugin.queue import rows
from plugin.queue.database import reads, writes
from plugin.queue.leases import Leases
from plugin.queue.tables import RECIPES, ROLES, SERIES, WORKERS, Entry, LastTry, entry_of

KEEPER = "keeper"
"""The role of the one Orthanc that takes in what arrives and publishes what is due."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """A worker as the ledger knows it. ``silent``: seconds since it was last heard of."""

    name: str
    reads: tuple[Modality, ...]
    since: float
    silent: float
    running: dict[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """What of a modality is due and waits, what is being read, and how long the oldest has been due."""

    waiting: int
    running: int
    oldest_seconds: float


class Fleet(Leases):
    """The part of the ledger that many processes share. Every method is one short transaction."""

    @reads
    def unpublished(
        self, connection: Connection, *, lost: Collection[Modality], older: float, limit: int
    ) -> list[Entry]:
        """What is due and has not been handed to the broker since, in the order in which it is to be read.

        ``lost``: the modalities whose queue is empty, so that whatever was handed to it more than ``older``
        seconds ago, and is still nobody's, is not there any more. A last try goes out when it is alone.
        """
        now = rows.now(connection)
        gone = SERIES.c.modality.in_(lost) & (SERIES.c.published_at < now - older)
        query = rows.due_now(now, self.holder).where(SERIES.c.published_at.is_(None) | gone)
        if rows.others_wait(connection):
            query = query.where(SERIES.c.last_try.is_distinct_from(LastTry.OWED))
        return [entry_of(row) for row in connection.execute(query.limit(limit)).mappings()]

    @writes
    def published(self, connection: Connection, series: Sequence[str]) -> None:
        """Say that series have been handed to the broker, just now."""
        query = sa.update(SERIES).where(SERIES.c.series.in_(series))
        connection.execute(query.values(published_at=rows.now(connection)))

    @reads
    def backlog(self, connection: Connection) -> dict[Modality, Backlog]:
        """What waits and what runs, by modality."""
        now = rows.now(connection)
        found = {}
        for modality in Modality:
            due = (SERIES.c.state == State.WAITING) & (SERIES.c.due_at <= now)
            query = sa.select(
                sa.func.count(sa.case((due, 1))),
                sa.func.count(sa.case((rows.RUNNING, 1))),
                sa.func.min(sa.case((due, SERIES.c.due_at))),
            ).where(SERIES.c.modality == modality, SERIES.c.state.in_((State.WAITING, State.RUNNING)))
            waiting, running, oldest = connection.execute(query).one()
            age = 0.0 if oldest is None else max(0.0, now - float(oldest))
            found[modality] = Backlog(waiting=waiting, running=running, oldest_seconds=age)
        return found

    @writes
    def take_role(self, connection: Connection, role: str, seconds: float) -> bool:
        """Take a role, or keep it, for so long; False while another has it."""
        now = rows.now(connection)
        row = connection.execute(sa.select(ROLES).where(ROLES.c.name == role).with_for_update()).first()
        values = {"holder": self.holder, "until": now + seconds}
        if row is None:
            connection.execute(sa.insert(ROLES).values(name=role, **values))
            return True
        if row.holder != self.holder and row.until > now:
            return False
        connection.execute(sa.update(ROLES).where(ROLES.c.name == role).values(**values))
        return True

    @writes
    def leave_role(self, connection: Connection, role: str) -> None:
        """Let another take a role at once."""
        mine = (ROLES.c.name == role) & (ROLES.c.holder == self.holder)
        connection.execute(sa.delete(ROLES).where(mine))

    @writes
    def report(
        self,
        connection: Connection,
        reads_: Sequence[Modality],
        since: float,
        running: Mapping[str, Any] | None,
    ) -> None:
        """Say that this worker works, on what, and since when."""
        values = {"reads": ",".join(reads_), "since": since, "heartbeat": rows.now(connection)}
        values["running"] = None if running is None else dict(running)
        changed = connection.execute(sa.update(WORKERS).where(WORKERS.c.name == self.holder).values(**values))
        if changed.rowcount == 0:
            connection.execute(sa.insert(WORKERS).values(name=self.holder, **values))

    @writes
    def leave(self, connection: Connection) -> None:
        """Say that this worker ends."""
        connection.execute(sa.delete(WORKERS).where(WORKERS.c.name == self.holder))

    @reads
    def workers(self, connection: Connection) -> list[Member]:
        """Every worker that has not said that it ends, by name."""
        now = rows.now(connection)
        return [
            Member(
                name=row.name,
                reads=tuple(Modality(name) for name in row.reads.split(",") if name),
                since=row.since,
                silent=max(0.0, now - row.heartbeat),
                running=row.running,
            )
            for row in connection.execute(sa.select(WORKERS).order_by(WORKERS.c.name))
        ]

    @writes
    def dismiss(self, connection: Connection, silent: float) -> None:
        """Forget the workers that have not been heard of for so many seconds."""
        gone = WORKERS.c.heartbeat < rows.now(connection) - silent
        connection.execute(sa.delete(WORKERS).where(gone))

    @reads
    def recipes(self, connection: Connection) -> dict[Modality, str]:
        """What Orthanc reads each modality with today."""
        return {Modality(row.modality): row.recipe for row in connection.execute(sa.select(RECIPES))}

    @writes
    def read_with(self, connection: Connection, recipes: Mapping[Modality, str]) -> None:
        """Say what Orthanc reads each modality with from now on."""
        connection.execute(sa.delete(RECIPES))
        for modality, recipe in recipes.items():
            connection.execute(sa.insert(RECIPES).values(modality=modality, recipe=recipe))

    @reads
    def site(self, connection: Connection) -> str | None:
        """What tells the Orthanc whose ledger this is from others."""
        return rows.owner(connection)
