"""The child of a worker that reads: what it takes, what it refuses, what it gives back."""

from __future__ import annotations

import importlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from demo.fleet.postgres import PostgresServer
from demo.server import free_port
from plugin.domain.kinds import Modality, State
from plugin.queue.ledger import LastTry, Ledger
from plugin.queue.recipe import recipe

pytest.importorskip("celery", reason="the engine celery is not installed")

SERIES = "11111111-22222222-33333333-44444444-55555555"


@pytest.fixture(scope="module")
def url(postgres: PostgresServer) -> str:
    return postgres.create_database("workers")


@pytest.fixture(scope="module")
def worker(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The module as a worker imports it, with its settings in the environment."""
    folder = tmp_path_factory.mktemp("configuration")
    section = {"Engine": "celery", "Ledger": url, "Niceness": 0, "Attempts": 1, "LeaseSeconds": 2}
    section |= {"Orthanc": {"Url": f"http://127.0.0.1:{free_port()}"}}
    section |= {"Models": {"CtReject": "", "CtAxial": [], "CtSagittal": [], "CtSegmentation": ""}}
    (folder / "orthanc.json").write_text(json.dumps({"ChestAI": section}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHEST_AI_CONFIGURATION", str(folder))
        patch.setenv("CHEST_AI_WORKER_NAME", "anna")
        yield importlib.import_module("plugin.remote.worker")


@pytest.fixture
def ledger(url: str, worker: ModuleType) -> Iterator[Ledger]:
    opened = Ledger(url, owner="site", holder="orthanc", lease_seconds=2)
    opened.forget(SERIES)
    yield opened
    opened.close()


@pytest.fixture
def child(worker: ModuleType, ledger: Ledger) -> Iterator[Any]:
    made = worker.Child(worker._settings, worker._name, [Modality.XRAY])
    ledger.read_with({Modality.XRAY: recipe(made._lineup, worker._settings, Modality.XRAY)})
    yield made
    made.end()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The signals that a child sends, none of which arrives."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    return sent


def _due(ledger: Ledger) -> None:
    ledger.advance(1, {SERIES: "xray"}, {SERIES: time.time() - 1})


def _state(ledger: Ledger) -> State:
    entry = ledger.get(SERIES)
    assert entry is not None
    return entry.state


def test_it_touches_a_file_for_a_cluster_s_probe(
    worker: ModuleType, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHEST_AI_ALIVE", str(tmp_path / "alive"))
    child = worker.Child(worker._settings, worker._name, [Modality.XRAY])
    deadline = time.monotonic() + 10
    while not (tmp_path / "alive").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child.end()


def test_it_says_that_it_works_and_that_it_ends(child: Any, ledger: Ledger) -> None:
    deadline = time.monotonic() + 10
    while not ledger.workers():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (member,) = ledger.workers()
    assert member.name.startswith("anna-")
    assert member.reads == (Modality.XRAY,)
    child.end()
    assert ledger.workers() == []


def test_a_message_that_is_late_is_for_nobody(child: Any, ledger: Ledger) -> None:
    child.read(SERIES, 1)  # the ledger does not know it
    _due(ledger)
    assert ledger.claim_one(SERIES) is not None
    child.read(SERIES, 1)  # somebody else reads it
    assert _state(ledger) is State.RUNNING


def test_other_models_or_settings_than_orthanc_s_read_nothing(
    child: Any, ledger: Ledger, told: list[tuple[int, int]]
) -> None:
    from celery.exceptions import Reject

    _due(ledger)
    ledger.read_with({Modality.XRAY: "of another version"})
    with pytest.raises(Reject) as rejected:
        child.read(SERIES, 1)
    assert rejected.value.requeue, "it is for others"
    assert _state(ledger) is State.WAITING
    assert told == [(os.getppid(), signal.SIGTERM)]


def test_what_ends_its_worker_again_and_again_goes_to_the_dead(child: Any, ledger: Ledger) -> None:
    from celery.exceptions import Reject

    _due(ledger)
    for _ in range(2):  # the worker dies in both attempts, the last one alone
        entry = ledger.claim_one(SERIES)
        assert entry is not None
        if entry.last_try is None:
            ledger.retry(entry, "cut off", 0, last_try=True)
    time.sleep(2.2)
    assert ledger.expire() == [SERIES]
    entry = ledger.get(SERIES)
    assert entry is not None
    assert entry.last_try is LastTry.BEGUN
    with pytest.raises(Reject) as rejected:
        child.read(SERIES, 2)
    assert not rejected.value.requeue
    failed = ledger.get(SERIES)
    assert failed is not None
    assert failed.state is State.FAILED
    assert "ended its worker again and again" in str(failed.error)


def test_a_child_that_is_told_to_stop_takes_nothing(child: Any, ledger: Ledger) -> None:
    _due(ledger)
    child.stopping.set()
    child.read(SERIES, 1)
    assert _state(ledger) is State.WAITING


def test_a_worker_reads_one_series_at_a_time(worker: ModuleType) -> None:
    worker._one_at_a_time(conf=worker.app.conf, options={"concurrency": 1})
    with pytest.raises(SystemExit, match="one series at a time"):
        worker._one_at_a_time(conf=worker.app.conf, options={"concurrency": 4})


def test_a_worker_without_a_configuration_says_so(worker: ModuleType, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CHEST_AI_CONFIGURATION")
        with pytest.raises(worker.SettingsError, match="CHEST_AI_CONFIGURATION"):
            worker.settings_of_environment()
        (tmp_path / "orthanc.json").write_text("{}")
        patch.setenv("CHEST_AI_CONFIGURATION", str(tmp_path))
        with pytest.raises(worker.SettingsError, match='is not "celery"'):
            worker.settings_of_environment()
