"""The ledger's database: opened, brought to today's schema, and written to however long that takes.

Reading takes no lock that keeps anybody waiting; writing takes SQLite's write lock at its beginning.
"""

from __future__ import annotations

import copy
import functools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine

from plugin.domain.errors import first_line
from plugin.queue.exclusive import Exclusive, Occupied, exclusive
from plugin.queue.schema import LedgerError, UnusableLedger, check, prepare
from plugin.queue.tables import TABLES, VERSION_TABLE

log = logging.getLogger(__name__)

_P = ParamSpec("_P")
_T = TypeVar("_T")

_LONGEST_PAUSE = 10.0
"""Seconds between two tries to write."""

Unavailable = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError, Occupied)
"""What is raised while the database cannot be used and may well be later: a full disk, a restart, another
Orthanc that uses it.
"""


def reads(method: Callable[Concatenate[Any, Connection, _P], _T]) -> Callable[Concatenate[Any, _P], _T]:
    """Let a method of a :class:`Database` run in a transaction that only reads."""

    @functools.wraps(method)
    def run(self: Any, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return cast(
            _T, self._transact(lambda connection: method(self, connection, *args, **kwargs), writes=False)
        )

    return run


def writes(method: Callable[Concatenate[Any, Connection, _P], _T]) -> Callable[Concatenate[Any, _P], _T]:
    """Let a method of a :class:`Database` run in a transaction of its own that may write."""

    @functools.wraps(method)
    def run(self: Any, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return cast(
            _T, self._transact(lambda connection: method(self, connection, *args, **kwargs), writes=True)
        )

    return run


@dataclass
class _Writes:
    """``last`` stands for the last transaction of this process that may have written."""

    last: object = field(default_factory=object)


class Database:
    """One database at today's schema. Safe from several threads."""

    def __init__(
        self, url: str, *, owner: str | None = None, former: str | None = None, alone: bool = False
    ) -> None:
        """Open the database at an SQLAlchemy URL for the Orthanc ``owner``, and create what is missing.

        ``former``: what its owner may have been called before; ``alone``: no other process that opens it
        like that may use it meanwhile. Where PostgreSQL gives it to another, nothing is written any more.
        Raises UnusableLedger, ForeignLedger, one of :data:`Unavailable`, or LedgerError where the URL is
        none that can be opened here.
        """
        self.is_new = False
        """Whether no Orthanc had called this ledger its own before."""
        self.trouble: str | None = None
        """Why a transaction that is being tried again and again does not succeed."""
        self._stopping: threading.Event | None = None
        self._writes = _Writes()
        try:
            self._engine = _engine(url)
        except (sa.exc.ArgumentError, ImportError) as error:
            raise LedgerError(f"ChestAI.Ledger cannot be opened: {error}") from error
        self._exclusive: Exclusive | None = exclusive(self._engine) if alone else None
        name = shown(self._engine.url)
        try:
            with self._engine.begin() as connection:
                check(connection, name, owner, former)
                self._hold()
                self.is_new = prepare(connection, name, owner)
        except Unavailable:
            self.close()
            raise
        except sa.exc.DatabaseError as error:
            self.close()
            if self._engine.dialect.name != "sqlite":
                raise LedgerError(f"the ledger {name} cannot be used: {reason(error)}") from error
            raise UnusableLedger(name, f"is damaged or no database ({reason(error)})") from error
        except LedgerError:
            self.close()
            raise

    def close(self) -> None:
        """Close every connection, and let another process have it."""
        self._engine.dispose()
        if self._exclusive is not None:
            self._exclusive.release()

    @property
    def version(self) -> object | None:
        """Another object after whatever is written; None where other processes may write as well."""
        return None if self._exclusive is None else self._writes.last

    def insisting(self, stopping: threading.Event) -> Self:
        """The same database, whose every call tries again until it succeeds or ``stopping`` is set.

        It tries again where the database is unavailable; once ``stopping`` is set, a call is tried once.
        """
        insistent = copy.copy(self)
        insistent._stopping = stopping
        return insistent

    def _transact(self, work: Callable[[Connection], _T], *, writes: bool) -> _T:
        engine = self._engine.execution_options(chest_ai_writes=writes)
        began, pause = time.monotonic(), 0.1
        while True:
            try:
                result = self._write(engine, work) if writes else self._read(engine, work)
            except Unavailable as error:
                if self._stopping is None or self._stopping.is_set():
                    raise
                if self.trouble is None:
                    log.error("the ledger cannot be used, trying again until it can: %s", reason(error))
                self.trouble = reason(error)
                self._stopping.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            if self.trouble is not None:
                log.warning("the ledger can be used again after %.0f s", time.monotonic() - began)
                self.trouble = None
            return result

    @staticmethod
    def _read(engine: Engine, work: Callable[[Connection], _T]) -> _T:
        with engine.begin() as connection:
            return work(connection)

    def _write(self, engine: Engine, work: Callable[[Connection], _T]) -> _T:
        self._hold()
        try:
            return self._read(engine, work)
        finally:  # a commit that is answered by an error may have arrived
            self._writes.last = object()

    def _hold(self) -> None:
        if self._exclusive is not None:
            self._exclusive.hold()


def reason(error: Exception) -> str:
    """What a database says, in its first line and without SQLAlchemy's frame around it."""
    return first_line(getattr(error, "orig", None) or error)


def shown(url: URL) -> str:
    """A database's URL for people: the path of a file, no password."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return url.render_as_string(hide_password=True)


def set_aside(url: str, stamp: str) -> str:
    """Move a ledger out of the way, so that the next one is made anew; where it lies now.

    An SQLite file is renamed, with its journals; in PostgreSQL the ledger's tables move into a schema of
    their own. Raises OSError and sqlalchemy.exc.SQLAlchemyError.
    """
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        file = Path(str(parsed.database))
        aside = file.with_name(f"{file.name}.aside-{stamp}")
        for ending in ("-wal", "-shm", ""):
            part = file.with_name(file.name + ending)
            if part.exists():
                part.rename(aside.with_name(aside.name + ending))
        return str(aside)
    schema = f"chest_ai_aside_{stamp}".lower()
    engine = _engine(url)
    with engine.begin() as connection:
        quote = connection.dialect.identifier_preparer.quote
        connection.execute(sa.schema.CreateSchema(schema))
        held = set(sa.inspect(connection).get_table_names())
        for table in (*TABLES, VERSION_TABLE):
            if table in held:
                connection.execute(sa.text(f"ALTER TABLE {quote(table)} SET SCHEMA {quote(schema)}"))
    engine.dispose()
    return f"schema {schema}"


def _engine(url: str) -> Engine:
    parsed = sa.make_url(url)
    patience = {}
    if parsed.get_backend_name() == "postgresql":
        # Else a host that does not answer (any more) holds a route for minutes. libpq's names, s and ms.
        patience = {"connect_timeout": 10, "tcp_user_timeout": 20_000}
        patience = {name: value for name, value in patience.items() if name not in parsed.query}
    # A connection that died with its server is replaced before it is used.
    engine = sa.create_engine(parsed, pool_pre_ping=True, connect_args=patience)
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _set_up_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin as _begin_sqlite says
    # FULL: a commit is on the disk when it returns, also where the machine loses its power.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and then writes fails at once, without waiting, where another
    # thread has written in between; one that takes the write lock at its start waits for its turn.
    # One that only reads sees the last commit and waits for nobody.
    writes = connection.get_execution_options().get("chest_ai_writes", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
