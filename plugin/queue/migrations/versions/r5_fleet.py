"""Many workers on one ledger: what was published, who works, who keeps the ledger, what is read with what."""

import sqlalchemy as sa
from alembic import op

revision = "5"
down_revision = "4"


def upgrade() -> None:
    """Add the column of the publication and the tables of the workers, the roles and the recipes."""
    op.add_column("series", sa.Column("published_at", sa.Float))
    op.create_table(
        "workers",
        sa.Column("name", sa.String(128), primary_key=True),
        sa.Column("reads", sa.String(32), nullable=False),
        sa.Column("since", sa.Float, nullable=False),
        sa.Column("heartbeat", sa.Float, nullable=False),
        sa.Column("running", sa.JSON),
    )
    op.create_table(
        "roles",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("holder", sa.String(128), nullable=False),
        sa.Column("until", sa.Float, nullable=False),
    )
    op.create_table(
        "recipes",
        sa.Column("modality", sa.String(8), primary_key=True),
        sa.Column("recipe", sa.String(64), nullable=False),
    )
