"""Pages of the ledger as a person looks through it: filtered, in an order, from a place on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from plugin.domain.kinds import Impression, Modality, State
from plugin.queue import rows
from plugin.queue.tables import SERIES, Entry, entry_of

_FEW = 2000
"""So many series of a kind are quicker gathered and sorted than met on the way through all of them."""

_MOST_STATIONS = 200


class Order(StrEnum):
    """The order of the worklist."""

    LATEST = "latest"
    """What was read last first."""
    NEWEST = "newest"
    """What arrived last first."""
    OLDEST = "oldest"
    """What arrived first first."""
    URGENCY = "urgency"
    """What is most urgent first (:mod:`plugin.queue.triage`)."""
    STATE = "state"
    """What was rejected, what failed, what was read; of each the latest first."""


_KEYS = {
    Order.LATEST: ("updated_at",),
    Order.NEWEST: ("noted_at",),
    Order.OLDEST: ("noted_at",),
    Order.URGENCY: ("urgency", "updated_at"),
    Order.STATE: ("state", "updated_at"),
}
"""The columns of each order, as the indexes have them; series of equal values are ordered by their ids."""

Place = tuple[float | str, ...]
"""Where a page ends: the values of the last entry's columns of the order, then its series."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which series are to be shown. ``state``: that one, or every one in which a reading has come to an end.

    ``begin`` and ``end``: seconds of the epoch; ``series``: only of these; ``after``: the page before ended
    there.
    """

    state: State | None = None
    modality: Modality | None = None
    impression: Impression | None = None
    station: str | None = None
    begin: float | None = None
    end: float | None = None
    series: Sequence[str] | None = None
    order: Order = Order.LATEST
    after: Place | None = None
    limit: int = 50


def place_of(entry: Entry, order: Order) -> Place:
    """Where a page that ends with this entry ends."""
    return *(getattr(entry, key) for key in _KEYS[order]), entry.series


def place_from(words: Sequence[str], order: Order) -> Place:
    """The place that these words name, of which each is a value. Raises ValueError where they name none."""
    *values, series = words
    if len(values) != len(_KEYS[order]):
        raise ValueError("this is the place of another order")
    named = zip(_KEYS[order], values, strict=True)
    return *(State(value).value if key == "state" else float(value) for key, value in named), series


def page(connection: Connection, wanted: Wanted) -> list[Entry]:
    """The series that are wanted, in their order; one more than ``limit`` where there are more."""
    columns = [SERIES.c[key] for key in (*_KEYS[wanted.order], "series")]
    query = sa.select(SERIES.c.series).where(*_conditions(connection, wanted))
    rising = wanted.order is Order.OLDEST
    if wanted.after is not None:
        here, there = sa.tuple_(*columns), sa.tuple_(*wanted.after)
        query = query.where(here > there if rising else here < there)
    sorted_by = [column.asc() if rising else column.desc() for column in columns]
    # The names first: rows are long, and sorting them is what takes time.
    names = connection.scalars(query.order_by(*sorted_by).limit(wanted.limit + 1)).all()
    found = sa.select(SERIES).where(SERIES.c.series.in_(names)).order_by(*sorted_by)
    return [entry_of(row) for row in connection.execute(found).mappings()]


def stations(connection: Connection) -> list[str]:
    """The stations that series come from, by name; each is looked up in the index, for there are few."""
    found: list[str] = []
    while len(found) < _MOST_STATIONS:
        last = found[-1] if found else ""
        following = connection.scalar(sa.select(sa.func.min(SERIES.c.station)).where(SERIES.c.station > last))
        if following is None:
            break
        found.append(following)
    return found


def next_ones(connection: Connection, limit: int) -> list[Entry]:
    """What waits, in the order in which it is to be read; last what is still being received."""
    query = sa.select(SERIES).where(SERIES.c.state == State.WAITING)
    query = query.order_by(SERIES.c.due_at.is_(None), *rows.ORDER).limit(limit)
    return [entry_of(row) for row in connection.execute(query).mappings()]


def _conditions(connection: Connection, wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = [sa.not_(rows.OPEN)] if wanted.state is None else []
    if wanted.modality is not None:
        conditions.append(SERIES.c.modality == wanted.modality)
    if wanted.impression is not None:
        conditions.append(SERIES.c.impression == wanted.impression)
    if wanted.begin is not None:
        conditions.append(SERIES.c.updated_at >= wanted.begin)
    if wanted.end is not None:
        conditions.append(SERIES.c.updated_at < wanted.end)
    if wanted.series is not None:
        conditions.append(SERIES.c.series.in_(wanted.series))
    for column, value in ((SERIES.c.state, wanted.state), (SERIES.c.station, wanted.station)):
        if value is not None:
            conditions.append(_is(connection, column, value))
    return conditions


def _is(connection: Connection, column: sa.ColumnElement[Any], value: str) -> sa.ColumnElement[bool]:
    """The condition that a column with an index of its own has a value.

    Where many rows have it, it keeps the database from that index: then it goes through the series in
    their order, and meets enough of them soon, instead of gathering and sorting them all.
    """
    some = sa.select(SERIES.c.series).where(column == value).limit(_FEW + 1).subquery()
    if (connection.scalar(sa.select(sa.func.count()).select_from(some)) or 0) > _FEW:
        return sa.func.coalesce(column, "") == value
    return column == value
