"""The series and the position in Orthanc's changes: the ledger as it was before it had versions."""

import sqlalchemy as sa
from alembic import op

revision = "1"
down_revision = None


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "series",
        sa.Column("series", sa.String(64), primary_key=True),
        sa.Column("modality", sa.String(8), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("due_at", sa.Float),
        sa.Column("forced", sa.Boolean, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("content", sa.String(64)),
        sa.Column("content_at", sa.Float),
        sa.Column("models", sa.String(64)),
        sa.Column("outcome", sa.JSON),
        sa.Column("stored", sa.JSON, nullable=False),
        sa.Column("noted_at", sa.Float, nullable=False),
        sa.Column("updated_at", sa.Float, nullable=False),
    )
    op.create_index("series_by_state", "series", ["state", "due_at"])
    op.create_index("series_by_update", "series", ["updated_at"])
    op.create_table(
        "position",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
