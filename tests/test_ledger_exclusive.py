"""One process alone on a ledger, on SQLite and on a real PostgreSQL: who has it, and who has it next."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from demo.fleet.postgres import PostgresServer
from plugin.queue.database import Unavailable
from plugin.queue.exclusive import Occupied
from plugin.queue.ledger import Ledger, State
from tests.conftest import ROOT

SERIES = "11111111-22222222-33333333-44444444-55555555"

HOLD = """
import sys, time
from plugin.queue.ledger import Ledger
ledger = Ledger(sys.argv[1], owner="one", alone=True)
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty ledger."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    return str(request.getfixturevalue("postgres").create_database(f"x{time.monotonic_ns()}"))


@pytest.fixture
def elsewhere(url: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the ledger to itself."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, url], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_copy_of_its_owner_is_refused_and_changes_nothing(
    url: str, elsewhere: subprocess.Popen[str]
) -> None:
    with pytest.raises(Occupied, match="another Orthanc is using it"):
        Ledger(url, owner="one", alone=True)
    assert isinstance(Occupied(), Unavailable), "it is waited for"
    assert elsewhere.poll() is None


def test_a_process_that_is_killed_loses_it_at_once(url: str, elsewhere: subprocess.Popen[str]) -> None:
    elsewhere.kill()
    elsewhere.wait()
    killed = time.monotonic()
    while True:
        try:
            Ledger(url, owner="one", alone=True).close()
            break
        except Occupied:
            assert time.monotonic() - killed < 1
            time.sleep(0.01)


def test_a_stop_lets_the_next_one_have_it(url: str) -> None:
    first = Ledger(url, owner="one", alone=True)
    with pytest.raises(Occupied):
        Ledger(url, owner="one", alone=True)
    first.close()
    second = Ledger(url, owner="one", alone=True)
    second.advance(1, {}, {})
    second.close()


def test_those_that_share_a_ledger_on_purpose_do(url: str) -> None:
    both = [Ledger(url, owner="hospital", holder=name) for name in ("first", "second")]
    for position, ledger in enumerate(both):
        ledger.advance(position, {}, {})
        ledger.close()


def test_a_disk_that_cannot_be_written_is_waited_for(tmp_path: Path) -> None:
    """The file of the lock is a folder here, since root may write to any file."""
    (tmp_path / "ledger.sqlite.lock").mkdir()
    with pytest.raises(sa.exc.OperationalError, match="Is a directory"):
        Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", alone=True)


def test_two_schemas_of_one_database_are_two_ledgers(postgres: PostgresServer) -> None:
    url = postgres.create_database("schemas")
    with sa.create_engine(url).begin() as connection:
        connection.execute(sa.schema.CreateSchema("other"))
    first = Ledger(url, owner="one", alone=True)
    second = Ledger(f"{url}?options=-csearch_path%3Dother", owner="two", alone=True)
    for ledger in (first, second):
        ledger.close()


def test_a_restart_of_postgresql_is_survived(postgres: PostgresServer) -> None:
    ledger = Ledger(postgres.create_database("restarted"), owner="one", alone=True)
    ledger.advance(1, {}, {})
    postgres.stop()
    with pytest.raises(Unavailable):
        ledger.advance(2, {}, {})
    postgres.start()
    ledger.advance(3, {}, {})
    with pytest.raises(Occupied):
        Ledger(postgres.url("restarted"), owner="one", alone=True)
    ledger.close()


def test_who_comes_back_after_another_writes_nothing_until_that_one_has_ended(
    postgres: PostgresServer,
) -> None:
    url = postgres.create_database("taken")
    first = Ledger(url, owner="one", alone=True)
    first.advance(1, {}, {})
    postgres.stop()
    postgres.start()
    second = Ledger(url, owner="one", alone=True)
    second.advance(5, {}, {})
    with pytest.raises(Occupied):
        first.advance(2, {}, {})
    assert first.position() == 5, "reading harms nobody"
    second.close()
    first.advance(6, {}, {})
    first.close()


def test_postgresql_notices_a_machine_that_has_lost_its_power(postgres: PostgresServer) -> None:
    url = postgres.create_database("power")
    ledger = Ledger(url, owner="one", alone=True)
    session = getattr(ledger._exclusive, "_session", None)
    assert isinstance(session, sa.engine.Connection)
    assert session.exec_driver_sql("SHOW tcp_keepalives_idle").scalar() == "15"
    assert session.exec_driver_sql("SHOW tcp_keepalives_count").scalar() == "3"
    ledger.close()


def test_who_is_alone_counts_again_only_after_something_was_written(url: str) -> None:
    ledger = Ledger(url, owner="one", alone=True)
    asked: list[str] = []
    sa.event.listen(ledger._engine, "before_cursor_execute", lambda *event: asked.append(event[2]))
    ledger.advance(1, {SERIES: "ct"}, {SERIES: time.time()})
    assert ledger.counts()[State.WAITING] == 1
    asked.clear()
    assert ledger.counts()[State.WAITING] == 1
    assert asked == []
    insisting = ledger.insisting(threading.Event())
    assert insisting.claim() is not None
    assert ledger.counts() == insisting.counts()
    assert ledger.counts()[State.RUNNING] == 1
    ledger.close()


def test_who_shares_a_ledger_counts_what_others_write(url: str) -> None:
    first, second = (Ledger(url, owner="hospital", holder=name) for name in ("first", "second"))
    assert first.counts()[State.WAITING] == 0
    second.advance(1, {SERIES: "ct"}, {SERIES: time.time()})
    assert first.counts()[State.WAITING] == 1
    for ledger in (first, second):
        ledger.close()
