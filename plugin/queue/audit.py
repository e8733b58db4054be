"""The log of what people asked the plugin to do, in the ledger."""

from __future__ import annotations

import time
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from plugin.queue.tables import AUDIT


def record(connection: Connection, user: str | None, action: str, status: int) -> None:
    """Write down a request. ``user``: None where nobody has checked who it was; ``status``: of the answer."""
    named = None if user is None else user[:128]
    connection.execute(
        sa.insert(AUDIT).values(at=time.time(), user=named, action=action[:160], status=status)
    )


def page(connection: Connection, before: int | None, limit: int) -> list[dict[str, Any]]:
    """Some of the log, the latest first; ``before``: only what has a lower number."""
    query = sa.select(AUDIT)
    if before is not None:
        query = query.where(AUDIT.c.number < before)
    rows = connection.execute(query.order_by(AUDIT.c.number.desc()).limit(limit)).mappings()
    return [dict(row) for row in rows]
