"""Pages of the ledger as a person looks through it: the latest first, filtered, from a place on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from plugin.domain.kinds import Modality, State
from plugin.queue import rows
from plugin.queue.tables import SERIES, Entry, entry_of

_FEW = 2000
"""So many series of a state are quicker gathered and sorted than met on the way back in time."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which series are to be shown. ``state``: that one, or every one in which a reading has come to an end.

    ``begin`` and ``end``: seconds of the epoch; ``series``: only of these.
    ``after``: the last entry of the page before, as its ``updated_at`` and its series.
    """

    state: State | None = None
    modality: Modality | None = None
    begin: float | None = None
    end: float | None = None
    series: Sequence[str] | None = None
    after: tuple[float, str] | None = None
    limit: int = 50


def page(connection: Connection, wanted: Wanted) -> list[Entry]:
    """The series that are wanted, the latest first; one more than ``limit`` where there are more."""
    query = sa.select(SERIES.c.series).where(_in_state(connection, wanted.state))
    if wanted.modality is not None:
        query = query.where(SERIES.c.modality == wanted.modality)
    if wanted.begin is not None:
        query = query.where(SERIES.c.updated_at >= wanted.begin)
    if wanted.end is not None:
        query = query.where(SERIES.c.updated_at < wanted.end)
    if wanted.series is not None:
        query = query.where(SERIES.c.series.in_(wanted.series))
    if wanted.after is not None:
        moment, series = wanted.after
        same = (SERIES.c.updated_at == moment) & (SERIES.c.series < series)
        query = query.where(SERIES.c.updated_at <= moment, (SERIES.c.updated_at < moment) | same)
    latest = (SERIES.c.updated_at.desc(), SERIES.c.series.desc())
    # The names first: rows are long, and sorting them is what takes time.
    names = connection.scalars(query.order_by(*latest).limit(wanted.limit + 1)).all()
    found = sa.select(SERIES).where(SERIES.c.series.in_(names)).order_by(*latest)
    return [entry_of(row) for row in connection.execute(found).mappings()]


def next_ones(connection: Connection, limit: int) -> list[Entry]:
    """What waits, in the order in which it is due; last what is still being received."""
    query = sa.select(SERIES).where(SERIES.c.state == State.WAITING)
    query = query.order_by(SERIES.c.due_at.is_(None), SERIES.c.due_at).limit(limit)
    return [entry_of(row) for row in connection.execute(query).mappings()]


def _in_state(connection: Connection, state: State | None) -> sa.ColumnElement[bool]:
    """The condition that a series is in a state, None for every settled one.

    Where many are, it names the states that are not wanted: then the database goes back in time by the
    index of times, instead of gathering and sorting them all.
    """
    if state is None:
        return sa.not_(rows.OPEN)
    some = sa.select(SERIES.c.series).where(SERIES.c.state == state).limit(_FEW + 1).subquery()
    if (connection.scalar(sa.select(sa.func.count()).select_from(some)) or 0) > _FEW:
        return SERIES.c.state.not_in([other for other in State if other is not state])
    return SERIES.c.state == state
