"""The schema of the ledger and whose it is: looked at before anything is written, then brought to today's."""

from __future__ import annotations

import logging
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

from plugin.queue import rows
from plugin.queue.tables import OWNER, SERIES, VERSION_TABLE

log = logging.getLogger(__name__)

_MIGRATIONS = Path(__file__).parent / "migrations"

_BEFORE_VERSIONS = "1"
"""The version of the schema of a ledger that says none: how it was before there were versions."""

_COLUMNS_BEFORE_VERSIONS = {
    *("series", "modality", "state", "due_at", "forced", "attempts", "error", "content", "content_at"),
    *("models", "outcome", "stored", "noted_at", "updated_at"),
}

_LOCK = 4207
"""PostgreSQL's advisory lock under which one process at a time looks at the schema."""


class LedgerError(Exception):
    """A ledger that cannot be used, in one sentence that says what to do."""


class UnusableLedger(LedgerError):
    """A ledger that no waiting mends and that may be set aside: damaged, or of another program or version."""

    def __init__(self, name: str, what: str) -> None:
        """``name``: the ledger for people; ``what``: what is wrong, after its name in a sentence."""
        super().__init__(
            f'the ledger {name} {what}: set ChestAI.BrokenLedger to "renew" and restart Orthanc; it will be'
            " renamed, and a new one filled from what Orthanc holds"
        )


class ForeignLedger(LedgerError):
    """A ledger that another Orthanc keeps."""


def check(connection: Connection, name: str, owner: str | None, former: str | None = None) -> None:
    """Look whether the Orthanc ``owner`` can use the ledger; one without a version is given its first.

    ``name`` is the ledger for people, ``former`` what its owner may have been called before. Raises
    UnusableLedger, ForeignLedger and sqlalchemy.exc.DBAPIError; then nothing is changed.
    """
    _check_damage(connection, name)
    _check_version(connection, name)
    _check_owner(connection, name, owner, former)


def prepare(connection: Connection, name: str, owner: str | None) -> bool:
    """Bring a ledger that was checked to today's schema; whether nobody had owned it before.

    ``name`` and ``owner``: as for :func:`check`, in the same transaction. Raises sqlalchemy.exc.DBAPIError;
    then nothing is changed.
    """
    before = _version(connection)
    command.upgrade(_alembic(connection), "head")
    after = _version(connection)
    if before is not None and before != after:
        log.info("the ledger %s was brought from schema %s to %s", name, before, after)
    held = rows.owner(connection)
    if owner is not None and held is not None and held != owner:
        connection.execute(sa.update(OWNER).values(orthanc=owner))
    if owner is None or held is not None:
        return False
    connection.execute(sa.insert(OWNER).values(orthanc=owner))
    return True


def _check_damage(connection: Connection, name: str) -> None:
    if connection.dialect.name == "sqlite":
        found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        if found != "ok":
            raise UnusableLedger(name, f"is damaged ({' '.join(str(found).split())[:120]})")
    else:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))


def _check_version(connection: Connection, name: str) -> None:
    version = _version(connection)
    known = [revision.revision for revision in ScriptDirectory(str(_MIGRATIONS)).walk_revisions()]
    if version is not None and version not in known:
        raise UnusableLedger(
            name,
            f"was written by a newer version of the plugin (schema {version}; this one knows {known[0]})",
        )
    inspector = sa.inspect(connection)
    if version is None and inspector.has_table(SERIES.name):
        columns = {column["name"] for column in inspector.get_columns(SERIES.name)}
        if _COLUMNS_BEFORE_VERSIONS - columns:
            raise UnusableLedger(name, "has a table of another program or of too old a version")
        command.stamp(_alembic(connection), _BEFORE_VERSIONS)


def _check_owner(connection: Connection, name: str, owner: str | None, former: str | None) -> None:
    if owner is None or not sa.inspect(connection).has_table(OWNER.name):
        return
    other = rows.owner(connection)
    if other not in (None, owner, former):
        raise ForeignLedger(
            f"the ledger {name} belongs to another Orthanc: give each its own by ChestAI.Ledger, or all that"
            " share one index the same ChestAI.Archive;"
            " where this Orthanc's index was made anew, move the ledger away, and a new one is begun"
        )


def _version(connection: Connection) -> str | None:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


def _alembic(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
