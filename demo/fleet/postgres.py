"""A PostgreSQL server of its own: a folder, a port, an ordinary process that is no root's."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from demo.server import ServerError, free_port

_START_SECONDS = 60


def binaries() -> Path | None:
    """The folder of PostgreSQL's server programs (``initdb``, ``postgres``), None where there is none."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    found = shutil.which("initdb")
    return None if found is None else Path(found).parent


class PostgresServer:
    """One server over a folder of its own, on loopback, without a password."""

    def __init__(self, programs: Path) -> None:
        """``programs``: as :func:`binaries` finds them."""
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="chest-ai-postgres-"))
        self._user = _unprivileged()
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self._run("initdb", "-D", str(self._folder / "data"), "-U", "chest", "-A", "trust", "-E", "UTF8")

    def url(self, database: str = "postgres") -> str:
        """SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://chest@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        data = self._folder / "data"
        options = ["-D", str(data), "-h", "127.0.0.1", "-p", str(self.port), "-k", str(self._folder), "-F"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._programs / "postgres"), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self._folder,
            )
        deadline = time.monotonic() + _START_SECONDS
        while subprocess.run(
            [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False
        ).returncode:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ServerError(f"PostgreSQL does not start: {(self._folder / 'log').read_text()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """End it at once, as a restart by the administrator does (``immediate``): connections break."""
        if self._process is not None:
            self._process.send_signal(3)  # SIGQUIT: immediate shutdown
            self._process.wait(30)
            self._process = None

    def remove(self) -> None:
        """Stop it and delete its folder."""
        self.stop()
        shutil.rmtree(self._folder)

    def create_database(self, name: str) -> str:
        """Make a database; its URL."""
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "chest", name)
        return self.url(name)

    def transactions(self, database: str) -> int:
        """How many transactions a database has committed since it was made."""
        query = f"SELECT xact_commit FROM pg_stat_database WHERE datname = '{database}'"  # noqa: S608
        options = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "chest", "-At", "-c", query, "postgres"]
        told = subprocess.run(
            [str(self._programs / "psql"), *options], check=True, capture_output=True, cwd=self._folder
        )
        return int(told.stdout)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._programs / program), *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            user=self._user,
            cwd=self._folder,
        )


def _unprivileged() -> str | None:
    """Whom the server runs as: it refuses to run as root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"
