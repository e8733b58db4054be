"""The ledger's SQLite file, looked at beside the plugin and never written to."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

from demo.soak.problems import Kind, Problem

_JSON = ("outcome", "stored")


def check(path: Path, counts: Mapping[str, int]) -> Iterator[Problem]:
    """What is wrong with the file. ``counts``: how many series the routes show in each state."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=10)) as database:
            yield from _check(database, counts)
    except sqlite3.Error as error:
        yield Problem(kind=Kind.LEDGER, text=f"{path} cannot be read: {error}")


def _check(database: sqlite3.Connection, counts: Mapping[str, int]) -> Iterator[Problem]:
    database.row_factory = sqlite3.Row
    for (line,) in database.execute("PRAGMA integrity_check"):
        if line != "ok":
            yield Problem(kind=Kind.LEDGER, text=f"the integrity check says: {line}")
    rows = database.execute("SELECT * FROM series").fetchall()
    found = Counter(str(row["state"]) for row in rows)
    if found != Counter(counts):
        text = f"the file counts {dict(found)}, the routes show {dict(counts)}"
        yield Problem(kind=Kind.LEDGER, text=text)
    for row in rows:
        series = str(row["series"])
        if row["state"] == "running":
            yield Problem(kind=Kind.OPEN, series=series, text="the file says running, and nothing is read")
        for column in _JSON:
            try:
                json.loads(row[column] or "null")
            except ValueError as error:
                text = f"the file's {column} is no JSON: {error}"
                yield Problem(kind=Kind.LEDGER, series=series, text=text)
