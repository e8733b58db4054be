"""Whose ledger it is, and the last try of a series that was being read when Orthanc ended."""

import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = "1"


def upgrade() -> None:
    """Add the owner's table and the column of the last try."""
    op.add_column("series", sa.Column("last_try", sa.String(8)))
    op.create_table("owner", sa.Column("orthanc", sa.String(64), primary_key=True))
