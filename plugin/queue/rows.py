"""The rows of the ledger, as its transactions look for them and change them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from plugin.domain.kinds import Modality, State
from plugin.queue.tables import INSTANCES, OWNER, POSITION, SERIES, Entry, LastTry, instance_number

_AT_ONCE = 500
"""How many values a query names: databases have a limit."""

RUNNING = SERIES.c.state == State.RUNNING
OPEN = SERIES.c.state.in_((State.WAITING, State.RUNNING))
"""What may be under a claim: whoever settles a series lets it go."""
RECEIVED = (SERIES.c.state == State.WAITING) & SERIES.c.due_at.is_(None)
_RELEASED: dict[str, None] = {"holder": None, "lease_until": None, "heartbeat": None}


ORDER = (
    sa.case((SERIES.c.last_try == LastTry.OWED, 1), else_=0),
    sa.case((SERIES.c.forced | SERIES.c.ahead, 0), else_=1),
    sa.case((SERIES.c.modality == Modality.XRAY, 0), else_=1),
    SERIES.c.due_at,
)
"""What is taken first: what somebody asked for or the site calls urgent, X-rays, what was due first."""


class LostClaim(Exception):
    """A claim that has passed to somebody else: nothing may be stored or settled under it any more."""


def now(connection: Connection) -> float:
    """Seconds of the epoch, by the one clock that all who claim have in common: the database's."""
    if connection.dialect.name == "sqlite":
        return time.time()
    return float(connection.scalar(sa.select(sa.extract("epoch", sa.func.clock_timestamp()))) or 0)


def due_now(now: float, holder: str) -> sa.Select[Any]:
    """What is due and nobody else's, in the order in which it is to be taken; last tries come last."""
    free = SERIES.c.holder.is_(None) | (SERIES.c.holder == holder) | (SERIES.c.lease_until < now)
    return (
        sa.select(SERIES)
        .where(SERIES.c.state == State.WAITING, SERIES.c.due_at <= now, free)
        .order_by(*ORDER)
    )


def others_wait(connection: Connection) -> bool:
    """Whether a series without a last try has a time at which it is due, be it later."""
    waiting = (SERIES.c.state == State.WAITING) & SERIES.c.due_at.is_not(None)
    query = sa.select(SERIES.c.series).where(waiting, SERIES.c.last_try.is_(None)).limit(1)
    return connection.execute(query).first() is not None


def row_of(connection: Connection, series: str) -> RowMapping | None:
    """A series' row, which nobody else changes before this transaction ends."""
    query = sa.select(SERIES).where(SERIES.c.series == series).with_for_update()
    return connection.execute(query).mappings().first()


def claimed(connection: Connection, entry: Entry) -> RowMapping | None:
    """The row of a series under a claim; None where it was forgotten. Raises LostClaim."""
    row = row_of(connection, entry.series)
    check_fence(entry, None if row is None else row["fence"])
    return row


def check_fence(entry: Entry, fence: int | None) -> None:
    """Raise LostClaim where the ledger has another fence than the claim. None: it has no such series."""
    if fence not in (None, entry.fence):
        raise LostClaim(f"claim {entry.fence} of series {entry.series} has passed to claim {fence}")


def held_by(holder: str) -> sa.ColumnElement[bool]:
    """Whether a series is read by this holder; by nobody's leave, where it runs without a lease."""
    return OPEN & ((SERIES.c.holder == holder) | (RUNNING & SERIES.c.holder.is_(None)))


def expired(now: float) -> sa.ColumnElement[bool]:
    """Whether a series is under a lease that has run out."""
    return OPEN & (SERIES.c.lease_until < now)


def note(
    connection: Connection,
    series: str,
    modality: str,
    due: float | None,
    now: float,
    *,
    ahead: bool | None = None,
) -> None:
    """Let a series with new content wait, its attempts counted anew; None: ``ahead`` stays as it is."""
    values: dict[str, Any] = {"modality": modality, "due_at": due, "state": State.WAITING}
    values |= {"attempts": 0, "last_try": None, "published_at": None}
    if ahead is not None:
        values["ahead"] = ahead
    if row_of(connection, series) is None:
        insert(connection, series, now, **values)
    else:
        update(connection, series, **values)


def insert(connection: Connection, series: str, now: float, **values: Any) -> None:
    """A new row. Its fence begins with the time: a series that comes again never gets one that it had."""
    row = {"attempts": 0, "stored": [], "forced": False, "fence": int(now)} | values
    connection.execute(sa.insert(SERIES).values(series=series, noted_at=now, updated_at=now, **row))


def update(connection: Connection, series: str, **values: Any) -> None:
    """Change a series' row; nothing where there is none."""
    connection.execute(
        sa.update(SERIES).where(SERIES.c.series == series).values(updated_at=time.time(), **values)
    )


def release(connection: Connection, series: str, **values: Any) -> None:
    """Change a series' row at the end of a claim: nobody holds it any more."""
    update(connection, series, **values, **_RELEASED)


def set_instances(connection: Connection, series: str, instances: Sequence[str]) -> None:
    """Keep which instances a series was read with, where there are several."""
    connection.execute(sa.delete(INSTANCES).where(INSTANCES.c.series == series))
    numbers = {instance_number(instance) for instance in instances}
    if len(numbers) > 1:
        rows = [{"number": number, "series": series} for number in sorted(numbers)]
        connection.execute(sa.insert(INSTANCES), rows)


def series_of(connection: Connection, instances: Sequence[str]) -> list[str]:
    """The series of several instances that were read with any of these among them."""
    found: set[str] = set()
    for start in range(0, len(instances), _AT_ONCE):
        numbers = [instance_number(instance) for instance in instances[start : start + _AT_ONCE]]
        query = sa.select(INSTANCES.c.series).where(INSTANCES.c.number.in_(numbers)).distinct()
        found.update(connection.scalars(query))
    return sorted(found)


def give_back(connection: Connection, which: sa.ColumnElement[bool]) -> None:
    """Let running series wait again, due at once, as if they had not been taken; nobody holds them."""
    now = time.time()
    begun = SERIES.c.last_try == LastTry.BEGUN
    connection.execute(
        sa.update(SERIES)
        .where(which, RUNNING)
        .values(
            state=State.WAITING,
            attempts=SERIES.c.attempts - 1,
            last_try=sa.case((begun, LastTry.OWED), else_=None),
            due_at=now,
            updated_at=now,
        )
    )
    connection.execute(sa.update(SERIES).where(which).values(_RELEASED))


def take_away(connection: Connection, which: sa.ColumnElement[bool]) -> list[str]:
    """End claims from outside: what was running is due at once, and the attempt counts; those series."""
    now = time.time()
    running = list(connection.scalars(sa.select(SERIES.c.series).where(which, RUNNING)))
    ended: dict[str, Any] = {"fence": SERIES.c.fence + 1, **_RELEASED}
    due = {"state": State.WAITING, "due_at": now, "updated_at": now}
    connection.execute(sa.update(SERIES).where(which, RUNNING).values(due | ended))
    connection.execute(sa.update(SERIES).where(which, SERIES.c.holder.is_not(None)).values(ended))
    return running


def position_of(connection: Connection, name: str) -> int | None:
    """A kept position, None where there is none."""
    value = connection.scalar(sa.select(POSITION.c.value).where(POSITION.c.name == name))
    return None if value is None else int(value)


def set_position(connection: Connection, name: str, value: int) -> None:
    """Keep a position."""
    changed = connection.execute(sa.update(POSITION).where(POSITION.c.name == name).values(value=value))
    if changed.rowcount == 0:
        connection.execute(sa.insert(POSITION).values(name=name, value=value))


def owner(connection: Connection) -> str | None:
    """The Orthanc whose ledger it is."""
    return connection.scalar(sa.select(OWNER.c.orthanc))
