"""An Orthanc that was copied with its index, as a virtual machine is cloned, on the original's ledger."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from demo.fleet.postgres import PostgresServer
from tests.conftest import Pacs, StartPacs, with_driver
from tests.pacs_client import settled, status, wait_ready, wait_until

IN_USE = "another Orthanc is using it"

Section = Mapping[str, Any]


@pytest.fixture(params=["sqlite", "postgresql"])
def options(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Section]:
    """What both Orthancs are configured with: one ledger, on a folder that they share or on a PostgreSQL."""
    if request.param == "sqlite":
        return {"chest_ai": {"Ledger": f"sqlite:///{tmp_path / 'shared.sqlite'}"}}
    postgres: PostgresServer = request.getfixturevalue("postgres")
    ledger = postgres.create_database(f"copied{time.monotonic_ns()}")
    return {"chest_ai": {"Ledger": ledger}, "orthanc": {"PythonScript": str(with_driver(tmp_path))}}


@pytest.fixture
def original(orthanc_server: StartPacs, options: dict[str, Section]) -> Pacs:
    """An Orthanc that has an identity, and a ledger."""
    pacs = orthanc_server(**options)
    assert wait_ready(pacs)["state"] == "ready"
    return pacs


def _copy(pacs: Pacs, start: StartPacs, options: dict[str, Section]) -> Pacs:
    """A second Orthanc over a copy of all that the first one holds."""
    pacs.stop()
    copied = start(**options)
    copied.kill()
    shutil.rmtree(copied.data / "db")
    shutil.copytree(pacs.data / "db", copied.data / "db")
    return copied


def _reason(pacs: Pacs) -> str:
    return str(status(pacs)["reason"] or "")


def _seconds_to_start(pacs: Pacs) -> float:
    """How long a start takes until the plugin is ready. Fails the test where it waits for its ledger."""
    began = time.monotonic()
    pacs.start()
    while (told := status(pacs))["state"] != "ready":
        assert IN_USE not in str(told["reason"])
        assert time.monotonic() - began < 60, told
        time.sleep(0.02)
    return time.monotonic() - began


def test_the_copy_waits_and_says_why_until_the_original_has_ended(
    original: Pacs,
    orthanc_server: StartPacs,
    options: dict[str, Section],
    synthetic: dict[str, list[Path]],
) -> None:
    copy = _copy(original, orthanc_server, options)
    original.start()
    assert wait_ready(original)["state"] == "ready"
    copy.start()
    wait_until(lambda: IN_USE in _reason(copy), seconds=60, what="why the copy waits")
    assert status(copy)["state"] == "starting"
    assert "ChestAI.Ledger" in _reason(copy)
    assert copy.get("/system")
    copy.store(synthetic["xray"])
    original.store(synthetic["xray"])
    (entry,) = settled(original, 1).values()
    assert (entry["state"], entry["attempts"]) == ("done", 1)
    assert status(copy)["running"] == []
    original.kill()
    wait_until(lambda: status(copy)["state"] == "ready", seconds=20, what="the copy's turn")
    original.start()
    wait_until(lambda: IN_USE in _reason(original), seconds=60, what="why the original waits")
    copy.stop()
    wait_until(lambda: status(original)["state"] == "ready", seconds=20, what="the original's turn")


def test_who_is_killed_in_mid_reading_starts_again_at_once(
    original: Pacs, synthetic: dict[str, list[Path]]
) -> None:
    original.store(synthetic["small_ct"])
    wait_until(lambda: status(original)["running"], seconds=120, what="the reading", pause=0.02)
    original.kill()
    after_kill = _seconds_to_start(original)
    original.stop()
    after_stop = _seconds_to_start(original)
    assert after_kill < after_stop + 2, "it waited for its own lock"
    (entry,) = settled(original, 1).values()
    assert (entry["state"], entry["attempts"]) == ("done", 2)
