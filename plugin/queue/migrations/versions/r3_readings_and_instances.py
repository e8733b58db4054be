"""What a result is dated by, and which instances a series was read with."""

import sqlalchemy as sa
from alembic import op

revision = "3"
down_revision = "2"


def upgrade() -> None:
    """Add the column of the reading and the table of the instances."""
    op.add_column("series", sa.Column("reading", sa.String(64)))
    op.create_table(
        "instances",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("series", sa.String(64), primary_key=True),
    )
    op.create_index("ix_instances_series", "instances", ["series"])
