"""The rows of the ledger, as its transactions look for them and change them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from plugin.domain.kinds import Modality, State
from plugin.queue.tables import INSTANCES, POSITION, SERIES, LastTry, instance_number

_AT_ONCE = 500
"""How many values a query names: databases have a limit."""

RUNNING = SERIES.c.state == State.RUNNING
RECEIVED = (SERIES.c.state == State.WAITING) & SERIES.c.due_at.is_(None)


def due_now(now: float) -> sa.Select[Any]:
    """What is due, in the order in which it is to be taken; last tries come last."""
    return (
        sa.select(SERIES)
        .where(SERIES.c.state == State.WAITING, SERIES.c.due_at <= now)
        .order_by(
            sa.case((SERIES.c.last_try == LastTry.OWED, 1), else_=0),
            sa.case((SERIES.c.modality == Modality.XRAY, 0), else_=1),
            SERIES.c.due_at,
        )
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


def note(connection: Connection, series: str, modality: str, due: float | None, now: float) -> None:
    """Let a series with new content wait, its attempts counted anew."""
    values = {"modality": modality, "due_at": due, "state": State.WAITING, "attempts": 0, "last_try": None}
    if row_of(connection, series) is None:
        insert(connection, series, now, **values)
    else:
        update(connection, series, **values)


def insert(connection: Connection, series: str, now: float, **values: Any) -> None:
    """A new row."""
    row = {"attempts": 0, "stored": [], "forced": False} | values
    connection.execute(sa.insert(SERIES).values(series=series, noted_at=now, updated_at=now, **row))


def update(connection: Connection, series: str, **values: Any) -> None:
    """Change a series' row; nothing where there is none."""
    connection.execute(
        sa.update(SERIES).where(SERIES.c.series == series).values(updated_at=time.time(), **values)
    )


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
    """Let running series wait again, due at once, as if they had not been taken."""
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


def position_of(connection: Connection, name: str) -> int | None:
    """A kept position, None where there is none."""
    value = connection.scalar(sa.select(POSITION.c.value).where(POSITION.c.name == name))
    return None if value is None else int(value)


def set_position(connection: Connection, name: str, value: int) -> None:
    """Keep a position."""
    changed = connection.execute(sa.update(POSITION).where(POSITION.c.name == name).values(value=value))
    if changed.rowcount == 0:
        connection.execute(sa.insert(POSITION).values(name=name, value=value))
