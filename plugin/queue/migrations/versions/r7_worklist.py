"""What the worklist is filtered and ordered by, worked out of the outcomes that are kept."""

import sqlalchemy as sa
from alembic import op

from plugin.queue import triage

revision = "7"
down_revision = "6"

_AT_ONCE = 500
_FILTERS = ["state", "modality", "impression", "station"]


def upgrade() -> None:
    """Add the columns and the indexes of the worklist, and fill the columns."""
    op.add_column("series", sa.Column("station", sa.String(64), nullable=False, server_default=""))
    op.add_column("series", sa.Column("impression", sa.String(12)))
    op.add_column("series", sa.Column("urgency", sa.Float, nullable=False, server_default="-2.0"))
    _fill()
    op.drop_index("series_by_update", "series")
    op.create_index("series_by_station", "series", ["station"])
    op.create_index("series_by_update", "series", ["updated_at", "series", *_FILTERS])
    op.create_index("series_by_arrival", "series", ["noted_at", "series", "updated_at", *_FILTERS])
    op.create_index("series_by_urgency", "series", ["urgency", "updated_at", "series", *_FILTERS])
    op.create_index("series_by_outcome", "series", ["state", "updated_at", "series", *_FILTERS[1:]])


def _fill() -> None:
    series = sa.table(
        "series",
        sa.column("series", sa.String),
        sa.column("outcome", sa.JSON),
        sa.column("station", sa.String),
        sa.column("impression", sa.String),
        sa.column("urgency", sa.Float),
    )
    connection = op.get_bind()
    some = sa.select(series.c.series, series.c.outcome).order_by(series.c.series).limit(_AT_ONCE)
    last = ""
    while page := connection.execute(some.where(series.c.series > last)).all():
        for name, outcome in page:
            found = triage.columns(outcome, name)  # perhaps by a later version, with columns of later steps
            values = {key: found[key] for key in ("station", "impression", "urgency")}
            connection.execute(sa.update(series).where(series.c.series == name).values(values))
        last = page[-1].series
