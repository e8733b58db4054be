"""Opening a ledger: every version of its schema, damage of every kind, and two Orthancs over one."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.exc import OperationalError

from plugin.queue.database import set_aside
from plugin.queue.ledger import Ledger, State
from plugin.queue.schema import ForeignLedger, LedgerError, UnusableLedger
from plugin.queue.tables import METADATA, VERSION_TABLE

SERIES = "11111111-22222222-33333333-44444444-55555555"

BEFORE_VERSIONS = """
CREATE TABLE series (
    series VARCHAR(64) NOT NULL, modality VARCHAR(8) NOT NULL, state VARCHAR(8) NOT NULL, due_at FLOAT,
    forced BOOLEAN NOT NULL, attempts INTEGER NOT NULL, error TEXT, content VARCHAR(64), content_at FLOAT,
    models VARCHAR(64), outcome JSON, stored JSON NOT NULL, noted_at FLOAT NOT NULL,
    updated_at FLOAT NOT NULL, PRIMARY KEY (series));
CREATE INDEX series_by_state ON series (state, due_at);
CREATE INDEX series_by_update ON series (updated_at);
CREATE TABLE position (name VARCHAR(32) NOT NULL, value BIGINT NOT NULL, PRIMARY KEY (name));
INSERT INTO position VALUES ('changes', 41);
"""
"""The ledger of version 0.1.0 as SQLite's ``.schema`` shows it."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "chest-ai.sqlite"


def _url(file: Path) -> str:
    return f"sqlite:///{file}"


def _installed(file: Path) -> None:
    """A ledger of version 0.1.0 with one series, done."""
    with sqlite3.connect(file) as connection:
        connection.executescript(BEFORE_VERSIONS)
        values = (
            SERIES,
            "ct",
            "done",
            None,
            0,
            1,
            None,
            "c",
            5.0,
            "m",
            '{"state": "done", "answer": "marked"}',
            '["i"]',
            1.0,
            2.0,
        )
        connection.execute(f"INSERT INTO series VALUES ({', '.join('?' * 14)})", values)  # noqa: S608
    connection.close()


def test_the_migrated_schema_is_the_one_that_the_code_writes_to(file: Path) -> None:
    Ledger(_url(file)).close()
    with sa.create_engine(_url(file)).connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, METADATA) == []


def test_a_ledger_of_one_orthanc_becomes_an_archive_s(file: Path) -> None:
    ledger = Ledger(_url(file), owner="one")
    ledger.advance(7, {}, {})
    ledger.close()
    with pytest.raises(ForeignLedger, match="share one index"):
        Ledger(_url(file), owner="hospital", former="two")
    first = Ledger(_url(file), owner="hospital", former="one")
    assert (first.is_new, first.position(), first.site()) == (False, 7, "hospital")
    first.close()
    second = Ledger(_url(file), owner="hospital", former="two")
    assert second.position() == 7
    second.close()
    with pytest.raises(ForeignLedger):
        Ledger(_url(file), owner="one")


def test_an_installed_ledger_without_a_version_is_migrated(file: Path) -> None:
    _installed(file)
    ledger = Ledger(_url(file), owner="orthanc")
    entry = ledger.get(SERIES)
    assert entry is not None
    assert (entry.state, entry.stored, entry.last_try) == (State.DONE, ("i",), None)
    assert (entry.station, entry.impression, entry.urgency) == ("", "positive", 4.0)
    assert ledger.position() == 41
    assert ledger.is_new
    ledger.close()
    with sa.create_engine(_url(file)).connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, METADATA) == []
    again = Ledger(_url(file), owner="orthanc")
    assert not again.is_new
    assert again.position() == 41
    again.close()


def _no_database(file: Path) -> None:
    file.write_bytes(b"This is no database at all, but a page of notes.\n" * 50)


def _header_only(file: Path) -> None:
    file.write_bytes(b"SQLite format 3\0" + b"\xff" * 2000)


def _damaged(file: Path) -> None:
    ledger = Ledger(_url(file))
    many = {f"{number:08x}" + SERIES[8:]: "ct" for number in range(500)}
    ledger.advance(1, many, dict.fromkeys(many, time.time()))
    ledger.close()
    content = bytearray(file.read_bytes())
    for page in range(2, len(content) // 4096):
        content[page * 4096 : page * 4096 + 64] = b"\xee" * 64
    file.write_bytes(content)


def _newer(file: Path) -> None:
    Ledger(_url(file)).close()
    with sqlite3.connect(file) as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9000'")  # noqa: S608
    connection.close()


def _of_another_program(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE series (name TEXT, season INTEGER)")
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (_no_database, "file is not a database"),
        (_header_only, "is not a database"),
        (_damaged, "is damaged"),
        (_newer, "was written by a newer version"),
        (_of_another_program, "of another program"),
    ],
)
def test_a_ledger_that_cannot_be_used_says_in_a_sentence_what_to_do(
    file: Path, spoil: Callable[[Path], None], what: str
) -> None:
    spoil(file)
    before = file.read_bytes()
    with pytest.raises(UnusableLedger) as raised:
        Ledger(_url(file))
    said = str(raised.value)
    assert what in said
    assert str(file) in said
    assert "BrokenLedger" in said
    assert "\n" not in said
    assert "sqlalche.me" not in said
    assert len(said) < 400
    assert file.read_bytes() == before, "it was written to"
    aside = Path(set_aside(_url(file), "20260101T000000"))
    assert aside.read_bytes() == before
    Ledger(_url(file)).close()


def test_a_folder_that_is_not_there_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(OperationalError):
        Ledger(_url(tmp_path / "nowhere" / "chest-ai.sqlite"))


@pytest.mark.parametrize("url", ["no url", "nosuch://host/name", "mysql+nosuch://host/name"])
def test_a_wrong_url_is_named(url: str) -> None:
    with pytest.raises(LedgerError, match=r"ChestAI\.Ledger"):
        Ledger(url)


def test_a_second_orthanc_is_refused(file: Path) -> None:
    first = Ledger(_url(file), owner="one")
    first.advance(7, {SERIES: "ct"}, {SERIES: None})
    with pytest.raises(ForeignLedger, match="belongs to another Orthanc"):
        Ledger(_url(file), owner="two")
    assert first.position() == 7
    again = Ledger(_url(file), owner="one")
    assert not again.is_new
    for ledger in (first, again):
        ledger.close()


def test_another_orthanc_s_ledger_is_not_migrated(file: Path) -> None:
    Ledger(_url(file), owner="one").close()
    with sqlite3.connect(file) as connection:  # as the version before left it
        connection.execute("DROP TABLE position")
    connection.close()
    before = file.read_bytes()
    with pytest.raises(ForeignLedger):
        Ledger(_url(file), owner="two")
    assert file.read_bytes() == before
