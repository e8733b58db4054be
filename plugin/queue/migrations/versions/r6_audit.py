"""Who asked for what: the log of requests that change something."""

import sqlalchemy as sa
from alembic import op

revision = "6"
down_revision = "5"


def upgrade() -> None:
    """Create the table of the log."""
    op.create_table(
        "audit",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("user", sa.String(128)),
        sa.Column("action", sa.String(160), nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
    )
