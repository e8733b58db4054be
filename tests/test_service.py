"""The plugin put together, on an Orthanc in memory: how it starts, what it says of itself, how it stops."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from plugin import service as service_module
from plugin.models.lineup import Lineup, load_lineup
from plugin.queue.ledger import Ledger, State
from plugin.service import Service
from plugin.settings import SECTION, Settings, read_settings
from tests.dicom_factory import as_file
from tests.fake_pacs import FakeOrthanc
from tests.test_worker import film, until

X_RAY_ONLY = {"CtReject": "", "CtAxial": [], "CtSagittal": [], "CtSegmentation": ""}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "chest-ai.sqlite"


@pytest.fixture
def begin(fake: FakeOrthanc, file: Path) -> Iterator[Callable[..., Service]]:
    """Starts services on the Orthanc in memory; they are stopped at the end."""
    started: list[Service] = []

    def start(*, url: str = f"sqlite:///{file}", **section: object) -> Service:
        service = Service(fake.pacs, _settings(**section), ledger_url=url, stable_age=1.0)
        service.start()
        started.append(service)
        return service

    yield start
    for service in started:
        service.stop()


def _settings(**section: object) -> Settings:
    defaults = {
        "Models": X_RAY_ONLY,
        "Results": {"RejectionSr": "all"},
        "Niceness": 0,
        "PollSeconds": 0.2,
        "BacklogDays": 10_000,
    }
    return read_settings({SECTION: {**defaults, **section}})


def _state(service: Service) -> str:
    return str(service.status()["state"])


def _ready(service: Service) -> Service:
    until(lambda: _state(service) != "starting", "it goes on starting", 60)
    assert _state(service) == "ready", service.status()["reason"]
    return service


def _settled(service: Service, series: str) -> None:
    def rejected() -> bool:
        entry = service.ledger.get(series) if service.ledger else None
        return entry is not None and entry.state is State.REJECTED

    until(rejected, "the series is not read", 30)


def test_what_is_held_is_read_and_the_status_says_so(
    fake: FakeOrthanc, begin: Callable[..., Service]
) -> None:
    series = fake.add(as_file(film()))
    service = begin()
    assert _state(service) == "starting"
    assert service.status()["reason"]
    with pytest.raises(RuntimeError, match="loaded"):
        service.request(series)
    _ready(service)
    _settled(service, series)
    assert service.status()["counts"]["rejected"] == 1
    until(lambda: fake.metrics.get("ai_series_rejected") == 1, "the metrics are not told")


def test_a_stop_while_the_models_are_loaded_leaves_no_worker(
    fake: FakeOrthanc, begin: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    series = fake.add(as_file(film()))
    loading, go_on = threading.Event(), threading.Event()

    def slowly(settings: Settings) -> Lineup:
        loading.set()
        go_on.wait(20)
        return load_lineup(settings)

    monkeypatch.setattr(service_module, "load_lineup", slowly)
    monkeypatch.setattr(service_module, "_STOP_SECONDS", 0.3)
    service = begin()
    assert loading.wait(10)
    before = time.monotonic()
    service.stop()
    assert time.monotonic() - before < 5
    go_on.set()
    service._thread.join(60)
    assert not service._thread.is_alive()
    assert "chest-ai-worker" not in [thread.name for thread in threading.enumerate()]
    assert service.running() == []
    assert fake.holds(series)
    assert fake.instances(Modality="SR") == []


def test_a_stop_just_before_the_worker_starts_leaves_no_worker(
    begin: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[Service] = []
    restart = Ledger.restart

    def stop_meanwhile(ledger: Ledger, **options: Any) -> None:
        restart(ledger, **options)
        stopped[0]._stop.set()

    monkeypatch.setattr(Ledger, "restart", stop_meanwhile)
    service = begin()
    stopped.append(service)
    service._thread.join(60)
    assert not service._thread.is_alive()
    assert "chest-ai-worker" not in [thread.name for thread in threading.enumerate()]


def test_a_ledger_that_does_not_answer_yet_is_awaited(
    fake: FakeOrthanc, begin: Callable[..., Service], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "_LEDGER_SECONDS", 0.1)
    series = fake.add(as_file(film()))
    folder = tmp_path / "not mounted yet"
    service = begin(url=f"sqlite:///{folder / 'chest-ai.sqlite'}")
    until(lambda: "unable to open" in service.status()["reason"], "the reason is not told", 60)
    assert _state(service) == "starting"
    folder.mkdir()
    _ready(service)
    _settled(service, series)


def test_a_broken_ledger_disables_with_a_sentence(begin: Callable[..., Service], file: Path) -> None:
    file.write_bytes(b"no database\n" * 500)
    service = begin()
    until(lambda: _state(service) == "disabled", "it is not disabled", 60)
    said = service.status()["reason"]
    assert "file is not a database" in said
    assert 'set ChestAI.BrokenLedger to "renew"' in said
    assert file.read_bytes().startswith(b"no database")


def test_a_broken_ledger_is_set_aside_and_made_up_from_what_orthanc_holds(
    fake: FakeOrthanc, begin: Callable[..., Service], file: Path
) -> None:
    series = fake.add(as_file(film()))
    first = begin()
    _ready(first)
    _settled(first, series)
    first.stop()
    reports = fake.instances(Modality="SR")
    file.write_bytes(b"no database\n" * 500)
    for journal in ("-wal", "-shm"):
        file.with_name(file.name + journal).unlink(missing_ok=True)
    fake.calls.clear()
    second = begin(BrokenLedger="renew", BacklogDays=0)  # the changes are too old to be looked at again
    _ready(second)
    _settled(second, series)
    assert fake.instances(Modality="SR") == reports
    assert "POST /instances" not in fake.calls, "it was read again"
    (aside,) = file.parent.glob("chest-ai.sqlite.aside-*")
    assert aside.read_bytes().startswith(b"no database")
    assert second.ledger is not None
    until(lambda: second.ledger is not None and second.ledger.recovered() is None, "it goes on and on")
    entry = second.ledger.get(series)
    assert entry is not None
    assert entry.outcome is not None
    assert entry.outcome["outputs"]["sr"] == reports[0]


def test_a_ledger_of_another_orthanc_is_left_alone(
    fake: FakeOrthanc, begin: Callable[..., Service], file: Path
) -> None:
    Ledger(f"sqlite:///{file}", owner="another").close()
    service = begin(BrokenLedger="renew")
    until(lambda: _state(service) == "disabled", "it is not disabled", 60)
    assert "belongs to another Orthanc" in service.status()["reason"]
    assert list(file.parent.glob("*aside*")) == []


def test_the_same_orthanc_knows_its_ledger_again(fake: FakeOrthanc, begin: Callable[..., Service]) -> None:
    first = _ready(begin())
    assert fake.pacs.identity()
    first.stop()
    _ready(begin())


def test_a_ledger_that_fails_while_changes_are_read_loses_none(
    fake: FakeOrthanc, begin: Callable[..., Service]
) -> None:
    service = _ready(begin())
    gone = fake.add(as_file(film(1)))
    _settled(service, gone)
    assert service.ledger is not None
    failing = [True]

    def fail(_connection: object, _cursor: object, text: str, *_rest: object) -> None:
        if failing[0] and text.startswith(("DELETE", "INSERT", "UPDATE")):
            raise sa.exc.OperationalError(text, None, Exception("database or disk is full"))

    sa.event.listen(service.ledger._engine, "before_cursor_execute", fail)
    fake.delete(gone)
    service.deleted(gone)
    new = fake.add(as_file(film(2)))
    service.wake()
    until(lambda: _state(service) == "degraded", "the full disk is not told")
    assert "database or disk is full" in service.status()["reason"]
    failing[0] = False
    until(lambda: _state(service) == "ready", "it does not recover")
    _settled(service, new)
    assert service.ledger.get(gone) is None


def test_the_status_answers_where_the_ledger_does_not(begin: Callable[..., Service], file: Path) -> None:
    service = _ready(begin())
    with sqlite3.connect(file) as connection:
        connection.execute("DROP TABLE series")
    connection.close()
    until(lambda: _state(service) == "degraded", "the missing table is not told")
    assert "no such table" in service.status()["reason"]
    assert service.ledger is not None
    service.ledger.advance(10**6, {}, {})  # so that the series are counted anew
    status = service.status()
    assert status["state"] == "degraded"
    assert set(status["counts"].values()) == {None}


def test_a_first_start_does_not_ask_for_every_old_instance(
    fake: FakeOrthanc, begin: Callable[..., Service]
) -> None:
    """Eight series of 50 instances are accounted for with a handful of questions for each."""
    for number in range(8):
        files = []
        for instance in range(50):
            image = film(number)
            image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}.1.{instance}"
            image.Modality = "MR"
            files.append(as_file(image))
        fake.add(*files)
    wanted = fake.add(as_file(film(99)))
    fake.calls.clear()
    _settled(_ready(begin()), wanted)
    assert len([call for call in fake.calls if call.startswith("GET /instances/")]) < 60
