"""Who reads a series, until when that holds, and the number that tells a claim from those before it."""

import sqlalchemy as sa
from alembic import op

revision = "4"
down_revision = "3"


def upgrade() -> None:
    """Add the columns of the lease."""
    op.add_column("series", sa.Column("holder", sa.String(128)))
    op.add_column("series", sa.Column("lease_until", sa.Float))
    op.add_column("series", sa.Column("heartbeat", sa.Float))
    op.add_column("series", sa.Column("fence", sa.BigInteger, nullable=False, server_default="0"))
