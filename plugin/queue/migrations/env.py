"""What Alembic runs to migrate the ledger, inside the transaction that ``plugin.queue.database`` gives it."""

from alembic import context

from plugin.queue.tables import METADATA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
context.run_migrations()
