"""Several Orthancs on one PostgreSQL index, with one ledger: no series is read twice, none is forgotten."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.fleet.site import LEASE_SECONDS, Site, why_not
from demo.soak.audit import audit
from demo.soak.series import Factory
from tests.conftest import Pacs
from tests.pacs_client import all_results, settled, status, wait_ready, wait_until

PLUGINS = Path("/usr/share/orthanc/plugins")
INDEX = PLUGINS / "libOrthancPostgreSQLIndex.so"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """The servers and no Orthanc yet."""
    missing = why_not() or (None if INDEX.exists() else "orthanc-postgresql is not installed")
    if missing:
        pytest.skip(missing)
    made = Site(tmp_path / "site", chest_ai={"Archive": "hospital"})
    made.rabbit.wait()
    yield made
    made.remove()


@pytest.fixture
def both(site: Site, tmp_path: Path) -> Iterator[tuple[Pacs, Pacs]]:
    """Two Orthancs that share their index and their storage."""
    site.postgres.create_database("index")
    shared = tmp_path / "storage"
    shared.mkdir()
    database = {"EnableIndex": True, "EnableStorage": False, "Lock": False, "EnableSsl": False}
    database |= {"Host": "127.0.0.1", "Port": site.postgres.port, "Database": "index"}
    database |= {"Username": "chest", "Password": ""}
    options = {
        "Plugins": [str(PLUGINS / "libOrthancPython.so"), str(INDEX)],
        "PythonScript": str(site.script),
        "StorageDirectory": str(shared),
        "PostgreSQL": database,
    }
    started = [
        Pacs(tmp_path / name, stable_age=2, chest_ai=site.section("celery"), orthanc=options)
        for name in ("first", "second")
    ]
    for pacs in started:
        pacs.start()
        wait_ready(pacs)
    yield started[0], started[1]
    for pacs in started:
        pacs.kill()


def _keepers(*orthancs: Pacs) -> list[bool]:
    return [status(pacs)["keeper"] for pacs in orthancs]


def test_what_either_receives_is_read_once_and_one_takes_over_from_the_other(
    site: Site, both: tuple[Pacs, Pacs], synthetic: dict[str, list[Path]], tmp_path: Path
) -> None:
    first, second = both
    factory = Factory(xray=synthetic["xray"][0], ct=synthetic["ct"], folder=tmp_path / "sent", seed=3)
    films = [factory.make(number, "xray") for number in range(4)]
    wait_until(lambda: sum(_keepers(first, second)) == 1, seconds=20, what="one keeper")
    keeper, other = (first, second) if _keepers(first)[0] else (second, first)
    site.orthanc = other  # the worker talks to either: they are one PACS
    site.start_worker("one")
    keeper.store(list(films[0].files))
    other.store(list(films[1].files))
    entries = settled(other, 2)
    assert [entry["state"] for entry in entries.values()] == ["done", "done"]
    assert [entry["attempts"] for entry in entries.values()] == [1, 1], "it was read twice"
    keeper.store(list(films[2].files))
    keeper.kill()  # before the film is stable: nobody announces it any more
    other.store(list(films[3].files))
    wait_until(lambda: _keepers(other) == [True], seconds=4 * LEASE_SECONDS, what="the other as keeper")
    entries = settled(other, 4)
    assert {entry["state"] for entry in entries.values()} == {"done"}
    assert {kind: len(found) for kind, found in all_results(other).items()} == {
        "SR": 4,
        "DOC": 4,
        "SEG": 0,
        "OT": 4,
    }
    time.sleep(2)
    assert audit(other) == []
