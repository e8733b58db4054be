"""The ledger on a real PostgreSQL: the same promises, two writers at once, a server that is restarted."""

from __future__ import annotations

import threading
import time

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from demo.fleet.postgres import PostgresServer
from plugin.queue.database import Unavailable, set_aside
from plugin.queue.ledger import Ledger, State
from plugin.queue.schema import ForeignLedger, LedgerError, UnusableLedger
from plugin.queue.tables import METADATA, VERSION_TABLE

SERIES = "11111111-22222222-33333333-44444444-55555555"


@pytest.fixture
def url(postgres: PostgresServer, request: pytest.FixtureRequest) -> str:
    return postgres.create_database(f"t{abs(hash(request.node.name))}")


def _settle(ledger: Ledger, series: str, state: State = State.DONE) -> None:
    entry = ledger.get(series)
    assert entry is not None
    ledger.settle(entry, state, models="m", outcome={"state": state.value}, stored=["i"])


def test_a_series_from_reception_to_settlement(url: str) -> None:
    ledger = Ledger(url, owner="one")
    assert ledger.is_new
    ledger.advance(3, {SERIES: "ct"}, {SERIES: time.time()})
    entry = ledger.claim()
    assert entry is not None
    ledger.storing(entry, ["i"])
    _settle(ledger, SERIES)
    ledger.close()
    again = Ledger(url, owner="one")
    assert not again.is_new
    settled = again.get(SERIES)
    assert settled is not None
    assert (settled.state, settled.stored) == (State.DONE, ("i",))
    assert again.position() == 3
    again.close()
    with sa.create_engine(url).connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, METADATA) == []


def test_new_content_is_not_lost_between_a_settlement_s_look_and_its_word(url: str) -> None:
    """While one transaction notes new content, another settles: the series waits afterwards."""
    ledger = Ledger(url)
    ledger.advance(1, {SERIES: "ct"}, {SERIES: time.time()})
    assert ledger.claim() is not None
    settling, noted = threading.Event(), threading.Event()

    def slow_down(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if threading.current_thread().name == "settling" and statement.startswith("UPDATE series"):
            settling.set()
            noted.wait(2)  # the other must wait for this transaction, or be seen by it

    sa.event.listen(ledger._engine, "before_cursor_execute", slow_down)
    settler = threading.Thread(target=_settle, args=(ledger, SERIES), name="settling")
    settler.start()
    assert settling.wait(10)
    ledger.advance(2, {SERIES: "ct"}, {SERIES: None})
    noted.set()
    settler.join()
    entry = ledger.get(SERIES)
    assert entry is not None
    assert entry.state is State.WAITING
    ledger.close()


def test_many_threads_claim_each_series_once(url: str) -> None:
    ledger = Ledger(url)
    many = {f"{number:08x}" + SERIES[8:]: "ct" for number in range(40)}
    ledger.advance(1, many, dict.fromkeys(many, time.time()))
    claimed: list[str] = []

    def work() -> None:
        while (entry := ledger.claim()) is not None:
            claimed.append(entry.series)
            _settle(ledger, entry.series)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    left = ledger.claim()
    assert sorted([*claimed, *([left.series] if left else [])]) == sorted(many)
    ledger.close()


def test_connections_that_died_with_the_server_are_replaced(postgres: PostgresServer, url: str) -> None:
    ledger = Ledger(url)
    ledger.advance(5, {}, {})
    postgres.stop()
    with pytest.raises(Unavailable):
        ledger.position()
    postgres.start()
    assert ledger.position() == 5  # the pool holds dead connections: the first call already succeeds
    postgres.stop()
    postgres.start()
    assert ledger.position() == 5
    ledger.close()


def test_what_has_to_be_written_waits_for_the_server(postgres: PostgresServer, url: str) -> None:
    stopping = threading.Event()
    ledger = Ledger(url)
    ledger.advance(1, {SERIES: "ct"}, {SERIES: time.time()})
    insisting = ledger.insisting(stopping)
    assert insisting.claim() is not None
    postgres.stop()
    settler = threading.Thread(target=_settle, args=(insisting, SERIES))
    settler.start()
    deadline = time.monotonic() + 20
    while insisting.trouble is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    postgres.start()
    settler.join(30)
    assert not settler.is_alive()
    assert insisting.trouble is None
    entry = ledger.get(SERIES)
    assert entry is not None
    assert entry.state is State.DONE
    ledger.close()


def test_two_orthancs_and_a_newer_version(url: str) -> None:
    ledger = Ledger(url, owner="one")
    ledger.advance(9, {}, {})
    ledger.close()
    with pytest.raises(ForeignLedger, match="belongs to another Orthanc"):
        Ledger(url, owner="two")
    with sa.create_engine(url).begin() as connection:
        connection.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num = '9000'"))  # noqa: S608
    with pytest.raises(UnusableLedger, match="newer version"):
        Ledger(url, owner="one")
    where = set_aside(url, "20260101T000000")
    assert where == "schema chest_ai_aside_20260101t000000"
    anew = Ledger(url, owner="two")
    assert anew.is_new
    assert anew.position() is None
    anew.close()
    with sa.create_engine(url).connect() as connection:
        kept = connection.scalar(sa.text("SELECT value FROM chest_ai_aside_20260101t000000.position"))
    assert kept == 9


def test_several_processes_may_create_the_tables_at_once(url: str) -> None:
    errors: list[Exception] = []

    def open_it() -> None:
        try:
            Ledger(url, owner="one").close()
        except Exception as error:  # noqa: BLE001 - whatever it is fails the test
            errors.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_missing_database_is_awaited_and_a_password_is_not_shown(postgres: PostgresServer) -> None:
    with pytest.raises(Unavailable):
        Ledger(postgres.url("not_there"))
    with sa.create_engine(postgres.url()).begin() as connection:
        connection.execute(sa.text("CREATE ROLE guest LOGIN"))
        connection.execute(sa.text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
    url = f"postgresql+psycopg://guest:secret@127.0.0.1:{postgres.port}/postgres"
    with pytest.raises(LedgerError) as raised:
        Ledger(url)
    assert "permission denied" in str(raised.value)
    assert "secret" not in str(raised.value)
    assert not isinstance(raised.value, UnusableLedger)
