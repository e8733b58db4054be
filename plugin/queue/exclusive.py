"""One process alone on a ledger: locks that a process loses when it dies, however it dies.

An Orthanc that was copied with its index has the identity of the original, so that the ledger's owner does
not tell them apart. Only one of them can hold the lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import threading
from pathlib import Path
from typing import IO, Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

log = logging.getLogger(__name__)

_LOCK = 4207
"""First half of the number of PostgreSQL's advisory lock; the other half is the schema's."""

_KEEPALIVE = {"tcp_keepalives_idle": 15, "tcp_keepalives_interval": 5, "tcp_keepalives_count": 3}
"""After half a minute PostgreSQL ends the session of a machine that has lost its power or its network. By
default it takes two hours, and that machine would wait for itself so long.
"""


class Occupied(sa.exc.SQLAlchemyError):
    """A ledger that another process has to itself now; once that one has ended, it is free."""

    def __init__(self) -> None:
        super().__init__(
            "another Orthanc is using it: give each its own by ChestAI.Ledger (a copied machine needs another"
            " one), or stop the other"
        )


class Exclusive(Protocol):
    """A ledger's lock. Safe from several threads."""

    def hold(self) -> None:
        """Take the lock, or make sure that it is still held.

        Raises Occupied, or sqlalchemy.exc.OperationalError where that cannot be told now.
        """

    def release(self) -> None:
        """Let another process have it."""


def exclusive(engine: Engine) -> Exclusive:
    """The lock of the ledger in a database."""
    if engine.dialect.name == "sqlite":
        return _FileLock(Path(f"{engine.url.database}.lock"))
    return _SessionLock(engine)


class _FileLock:
    """A lock of the operating system on a file beside the ledger (flock(2)).

    SQLite's own locks are on the ledger itself; a process that closes that file anywhere would lose them.
    The lock's file stays where it is: were it deleted, two processes could lock one each.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._mutex = threading.Lock()

    def hold(self) -> None:
        """As for every lock; it is not lost as long as the process lives."""
        with self._mutex:
            if self._file is None:
                self._file = self._locked()

    def release(self) -> None:
        """As for every lock."""
        with self._mutex:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _locked(self) -> IO[bytes]:
        with contextlib.ExitStack() as undo:
            try:
                file = undo.enter_context(self._path.open("ab"))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Occupied from None
            except OSError as error:  # such as a full disk
                raise sa.exc.OperationalError("flock", None, error) from error
            undo.pop_all()
        return file


class _SessionLock:
    """An advisory lock of PostgreSQL, held by a session of its own that does nothing else.

    The lock ends with its session. A restart of PostgreSQL ends all of them; whoever asks first afterwards
    has the lock.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._session: Connection | None = None
        self._mutex = threading.Lock()

    def hold(self) -> None:
        """As for every lock; it is taken again where its session has ended."""
        with self._mutex:
            if self._session is not None:
                try:
                    self._session.exec_driver_sql("SELECT 1")
                except sa.exc.DBAPIError:
                    log.warning("the session that kept the ledger for this Orthanc alone has ended")
                    self._drop()
                else:
                    return
            self._session = self._locked()

    def release(self) -> None:
        """As for every lock."""
        with self._mutex:
            self._drop()

    def _drop(self) -> None:
        if self._session is not None:
            with contextlib.suppress(sa.exc.DBAPIError):
                self._session.close()
            self._session = None

    def _locked(self) -> Connection:
        with contextlib.ExitStack() as undo:
            session = undo.enter_context(self._engine.connect())
            session.detach()  # it never goes back to the pool, and closing it ends the session
            for name, value in _KEEPALIVE.items():
                session.exec_driver_sql(f"SET {name} = {value}")
            schema = sa.func.hashtext(sa.func.current_schema())
            if not session.scalar(sa.select(sa.func.pg_try_advisory_lock(_LOCK, schema))):
                raise Occupied
            undo.pop_all()
        return session
