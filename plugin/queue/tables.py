"""The ledger's tables, and what a row of them says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from plugin.domain.kinds import Impression, Modality, State
from plugin.queue.triage import UNREAD


class LastTry(StrEnum):
    """The one more try, alone, of a series whose every attempt was cut off by the end of Orthanc."""

    OWED = "owed"
    BEGUN = "begun"


METADATA = sa.MetaData()

VERSION_TABLE = "chest_ai_version"
"""Where Alembic keeps the version of the schema (:mod:`plugin.queue.migrations`)."""

_FILTERS = ("state", "modality", "impression", "station")

SERIES = sa.Table(
    "series",
    METADATA,
    sa.Column("series", sa.String(64), primary_key=True),
    sa.Column("modality", sa.String(8), nullable=False),
    sa.Column("state", sa.String(8), nullable=False),
    sa.Column("due_at", sa.Float),
    sa.Column("forced", sa.Boolean, nullable=False, default=False),
    # Whether the site's rule (ChestAI.Urgent) lets it go ahead of the others.
    sa.Column("ahead", sa.Boolean, nullable=False, default=False, server_default=sa.false()),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("error", sa.Text),
    # What was read last, and how it ended; kept while the series waits to be read again.
    sa.Column("content", sa.String(64)),
    sa.Column("reading", sa.String(64)),
    sa.Column("content_at", sa.Float),
    sa.Column("models", sa.String(64)),
    sa.Column("outcome", sa.JSON),
    # How it stands with the last try of a series that was being read when Orthanc ended (LastTry).
    sa.Column("last_try", sa.String(8)),
    # Who reads it, when that was last heard of, until when it holds; the number of the claim (leases.py).
    sa.Column("holder", sa.String(128)),
    sa.Column("lease_until", sa.Float),
    sa.Column("heartbeat", sa.Float),
    sa.Column("fence", sa.BigInteger, nullable=False, default=0, server_default="0"),
    # When it was handed to the broker of the engine "celery"; None again from the next claim on.
    sa.Column("published_at", sa.Float),
    # Orthanc instances that may have been stored for this series and are not yet cleared away.
    sa.Column("stored", sa.JSON, nullable=False, default=list),
    sa.Column("noted_at", sa.Float, nullable=False),
    sa.Column("updated_at", sa.Float, nullable=False),
    # What the worklist is filtered and ordered by (triage.py).
    sa.Column("station", sa.String(64), nullable=False, server_default=""),
    sa.Column("impression", sa.String(12)),
    sa.Column("urgency", sa.Float, nullable=False, server_default=str(UNREAD)),
    sa.Index("series_by_state", "state", "due_at"),
    sa.Index("series_by_station", "station"),
    # One for each order of the worklist, with all that it is filtered by: rows are long.
    sa.Index("series_by_update", "updated_at", "series", *_FILTERS),
    sa.Index("series_by_arrival", "noted_at", "series", "updated_at", *_FILTERS),
    sa.Index("series_by_urgency", "urgency", "updated_at", "series", *_FILTERS),
    sa.Index("series_by_outcome", "state", "updated_at", "series", "modality", "impression", "station"),
)

INSTANCES = sa.Table(
    "instances",
    METADATA,
    # 60 bits of Orthanc's id, a tenth of the space; two instances of one number cost a needless look.
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("series", sa.String(64), primary_key=True, index=True),
)
"""What was read of series with several instances: Orthanc tells of a deleted instance by its id alone."""

POSITION = sa.Table(
    "position",
    METADATA,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)

# The one Orthanc whose ledger this is.
OWNER = sa.Table("owner", METADATA, sa.Column("orthanc", sa.String(64), primary_key=True))

WORKERS = sa.Table(
    "workers",
    METADATA,
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("reads", sa.String(32), nullable=False),
    sa.Column("since", sa.Float, nullable=False),
    sa.Column("heartbeat", sa.Float, nullable=False),
    sa.Column("running", sa.JSON),
)
"""The workers of the engine "celery": the modalities that each reads, and what it is reading now."""

ROLES = sa.Table(
    "roles",
    METADATA,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("holder", sa.String(128), nullable=False),
    sa.Column("until", sa.Float, nullable=False),
)
"""What one process at a time does, and until when that is settled."""

RECIPES = sa.Table(
    "recipes",
    METADATA,
    sa.Column("modality", sa.String(8), primary_key=True),
    sa.Column("recipe", sa.String(64), nullable=False),
)
"""What Orthanc reads each modality with today; a worker that has another recipe reads nothing."""

AUDIT = sa.Table(
    "audit",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("user", sa.String(128)),
    sa.Column("action", sa.String(160), nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
)
"""What people asked for, and the HTTP status of the answer."""

TABLES = tuple(METADATA.tables)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One series as the ledger has it. ``outcome`` is the JSON that the last reading ended with."""

    series: str
    modality: Modality
    state: State
    due_at: float | None
    forced: bool
    ahead: bool
    attempts: int
    error: str | None
    content: str | None
    reading: str | None
    content_at: float | None
    models: str | None
    outcome: dict[str, Any] | None
    last_try: LastTry | None
    holder: str | None
    lease_until: float | None
    heartbeat: float | None
    fence: int
    stored: tuple[str, ...]
    noted_at: float
    updated_at: float
    station: str
    impression: Impression | None
    urgency: float

    @property
    def first(self) -> bool:
        """Whether it is read before all others: somebody asked for it, or the site's rule does."""
        return self.forced or self.ahead


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What the ledger has of a settled series, as far as its outcome beside the images tells."""

    modality: Modality
    state: State
    content: str
    models: str
    outcome: dict[str, Any]
    stored: list[str]


def instance_number(instance: str) -> int:
    """The number under which the table of instances has Orthanc's id of one."""
    return int(instance.replace("-", "")[:15], 16)


def entry_of(row: Mapping[Any, Any]) -> Entry:
    """A row of the series table as an entry."""
    values = {name: row[name] for name in Entry.__dataclass_fields__}
    values["state"] = State(values["state"])
    values["modality"] = Modality(values["modality"])
    values["last_try"] = None if values["last_try"] is None else LastTry(values["last_try"])
    values["impression"] = None if values["impression"] is None else Impression(values["impression"])
    values["stored"] = tuple(values["stored"])
    return Entry(**values)
