"""Which series go ahead of the others, by the site's rule."""

import sqlalchemy as sa
from alembic import op

revision = "8"
down_revision = "7"


def upgrade() -> None:
    """Add the column; what waits already keeps its place."""
    op.add_column("series", sa.Column("ahead", sa.Boolean, nullable=False, server_default=sa.false()))
