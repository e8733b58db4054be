"""The worker on an Orthanc in memory: what it does when the ledger, Orthanc or the machine gives way."""

from __future__ import annotations

import math
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from pydicom.dataset import FileDataset

from plugin.models.lineup import Lineup
from plugin.queue import job
from plugin.queue.ledger import Entry, LastTry, Ledger, State
from plugin.queue.reader import Reader
from plugin.queue.worker import Worker
from plugin.settings import SECTION, Settings, read_settings
from tests.dicom_factory import as_file, xray_dataset
from tests.fake_pacs import FULL_STORAGE, FakeOrthanc


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.sqlite'}"


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    opened = Ledger(url)
    yield opened
    opened.close()


@pytest.fixture
def work(fake: FakeOrthanc, ledger: Ledger) -> Iterator[Callable[..., Worker]]:
    """Starts workers on the ledger; they are stopped at the end."""
    started: list[Worker] = []

    def start(on: Ledger = ledger, **section: object) -> Worker:
        worker = Worker(fake.pacs, on, Lineup(), _settings(**section))
        worker.start()
        started.append(worker)
        return worker

    yield start
    for worker in started:
        assert worker.stop(10)


def _settings(**section: object) -> Settings:
    defaults = {"Results": {"RejectionSr": "all"}, "RetrySeconds": 0, "Niceness": 0}
    return read_settings({SECTION: {**defaults, **section}})


def film(number: int = 1) -> FileDataset:
    """A film that the header rules reject, so that it is read without a network, with an SR."""
    pixels = np.zeros((512, 512), np.uint16)
    uids = {
        "StudyInstanceUID": f"1.2.3.{number}",
        "SeriesInstanceUID": f"1.2.3.{number}.1",
        "SOPInstanceUID": f"1.2.3.{number}.1.1",
    }
    return xray_dataset(pixels, **{"BodyPartExamined": "HIP", "StudyDate": "20240516", **uids})


def _owed(fake: FakeOrthanc, ledger: Ledger, number: int = 1) -> str:
    """A film in Orthanc that is due."""
    series = fake.add(as_file(film(number)))
    ledger.advance(1, {series: "xray"}, {series: time.time()})
    return series


def until(condition: Callable[[], object], what: str, seconds: float = 20) -> None:
    """Wait for a condition; fails the test, with what is wrong, where it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def _entry(ledger: Ledger, series: str) -> Entry:
    entry = ledger.get(series)
    assert entry is not None
    return entry


def _settled(ledger: Ledger, series: str) -> Entry:
    ends = (State.DONE, State.REJECTED, State.FAILED)
    until(lambda: _entry(ledger, series).state in ends, "it does not settle")
    return _entry(ledger, series)


def _reads(fake: FakeOrthanc) -> int:
    return sum(call == "POST /instances" for call in fake.calls)


def _refuse(ledger: Ledger, statement: Callable[[str, object], bool], times: int) -> Callable[[], int]:
    """Let so many statements fail as on a full disk; how many are still to fail."""
    left = [times]

    def fail(_connection: object, _cursor: object, text: str, values: object, *_rest: object) -> None:
        if left[0] and statement(text, values):
            left[0] -= 1
            raise sa.exc.OperationalError(text, None, Exception("database or disk is full"))

    sa.event.listen(ledger._engine, "before_cursor_execute", fail)
    return lambda: left[0]


def _settles(text: str, _values: object) -> bool:
    return text.startswith("UPDATE series") and "outcome=" in text


def _updates(text: str, _values: object) -> bool:
    return text.startswith("UPDATE series")


def test_a_settlement_that_fails_is_written_when_the_ledger_can_be_written(
    fake: FakeOrthanc, ledger: Ledger, work: Callable[..., Worker]
) -> None:
    series = _owed(fake, ledger)
    left = _refuse(ledger, _settles, 3)
    worker = work()
    assert _settled(ledger, series).state is State.REJECTED
    assert left() == 0
    assert _entry(ledger, series).attempts == 1
    assert _reads(fake) == 1, "it was read again"
    until(lambda: worker.trouble is None, "the trouble is over")


def test_a_retry_that_cannot_be_written_is_kept(
    fake: FakeOrthanc, ledger: Ledger, work: Callable[..., Worker]
) -> None:
    series = _owed(fake, ledger)

    def full() -> None:
        _refuse(ledger, _updates, 2)
        fake.refuse()

    fake.before("POST", "/instances", full)
    work()
    entry = _settled(ledger, series)
    assert (entry.state, entry.attempts) == (State.REJECTED, 2)


def test_a_failure_that_cannot_be_written_is_kept(
    fake: FakeOrthanc, ledger: Ledger, work: Callable[..., Worker]
) -> None:
    series = _owed(fake, ledger)
    left = _refuse(ledger, _settles, 2)
    fake.before("POST", "/instances", fake.refuse)
    work(Attempts=1)
    entry = _settled(ledger, series)
    assert entry.state is State.FAILED
    assert "Bad file format" in str(entry.error)
    assert left() == 0


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for room in Orthanc looks again soon."""
    monkeypatch.setattr(job, "_SHORTEST_PAUSE", 0.05)
    monkeypatch.setattr(job, "_LONGEST_PAUSE", 0.1)


def _no_room(
    fake: FakeOrthanc, code: int, method: str = "POST", uri: str = "/instances"
) -> Callable[[], None]:
    """Let Orthanc have no room; a call gives it room again."""
    full = [True]

    def refuse() -> None:
        if full[0]:
            fake.before(method, uri, refuse)
            fake.refuse(code, "no room")

    fake.before(method, uri, refuse)
    return lambda: full.__setitem__(0, False)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("code", [14, FULL_STORAGE, 1009, 1010])
def test_an_orthanc_without_room_only_holds_the_reading_up(
    fake: FakeOrthanc, ledger: Ledger, work: Callable[..., Worker], code: int
) -> None:
    series = _owed(fake, ledger)
    give_room = _no_room(fake, code)
    worker = work(Attempts=1)
    until(lambda: worker.trouble, "the trouble is told")
    assert worker.trouble == "Orthanc has no room for results: no room; it is tried again until it has"
    until(lambda: _reads(fake) > 3, "it is tried again")
    assert _entry(ledger, series).state is State.RUNNING
    give_room()
    entry = _settled(ledger, series)
    assert (entry.state, entry.attempts, entry.error) == (State.REJECTED, 1, None)
    assert len(fake.instances(Modality="SR")) == 1
    assert worker.trouble is None


@pytest.mark.usefixtures("quick")
def test_an_outcome_that_cannot_be_kept_for_want_of_room_is_kept_later(
    fake: FakeOrthanc, ledger: Ledger, work: Callable[..., Worker]
) -> None:
    series = _owed(fake, ledger)
    give_room = _no_room(fake, 1009, "PUT", ".*/metadata/4207")
    worker = work(Attempts=1)
    until(lambda: worker.trouble, "the trouble is told")
    give_room()
    assert _settled(ledger, series).attempts == 1
    assert fake.metadata(series)["4207"]


@pytest.mark.usefixtures("quick")
def test_a_stop_does_not_wait_for_room(
    fake: FakeOrthanc, ledger: Ledger, work: Callable[..., Worker]
) -> None:
    series = _owed(fake, ledger)
    give_room = _no_room(fake, FULL_STORAGE)
    worker = work()
    until(lambda: worker.trouble, "the trouble is told")
    before = time.monotonic()
    assert worker.stop(10)
    assert time.monotonic() - before < 2
    entry = _entry(ledger, series)
    assert (entry.state, entry.attempts) == (State.WAITING, 0)
    give_room()
    work()
    assert _settled(ledger, series).attempts == 1


def test_a_time_limit_that_strikes_while_orthanc_has_no_room_costs_no_attempt(
    fake: FakeOrthanc, ledger: Ledger
) -> None:
    """As Celery's does: by an exception in the thread that waits."""

    class Limited(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            raise TimeoutError(timeout)

    series = _owed(fake, ledger)
    _no_room(fake, FULL_STORAGE)
    entry = ledger.claim()
    assert entry is not None
    Reader(fake.pacs, ledger, Lineup(), _settings(), stopping=Limited()).read(entry)
    assert (_entry(ledger, series).state, _entry(ledger, series).attempts) == (State.WAITING, 0)


@pytest.mark.usefixtures("quick")
def test_nothing_is_stored_on_a_disk_that_is_almost_full(
    fake: FakeOrthanc, ledger: Ledger, small_disk: Path, work: Callable[..., Worker]
) -> None:
    """Orthanc 1.10.1 ends where it cannot make a folder: it is not asked."""
    fake.storage = small_disk
    series = _owed(fake, ledger)
    worker = work(Attempts=1)
    until(lambda: worker.trouble, "the trouble is told")
    assert f"the disk of {small_disk} is full" in str(worker.trouble)
    assert _reads(fake) == 0
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert _settled(ledger, series).state is State.REJECTED
    assert _reads(fake) == 1


def test_another_plugin_s_storage_has_no_folder_to_look_at(
    fake: FakeOrthanc, ledger: Ledger, work: Callable[..., Worker], tmp_path: Path
) -> None:
    fake.storage = tmp_path / "nowhere"
    series = _owed(fake, ledger)
    work()
    assert _settled(ledger, series).state is State.REJECTED


def test_a_series_taken_by_a_claim_whose_answer_was_lost_is_read(
    fake: FakeOrthanc, ledger: Ledger, work: Callable[..., Worker]
) -> None:
    series = _owed(fake, ledger)
    assert ledger.claim() is not None  # what the worker never came to know
    worker = work()
    entry = _settled(ledger, series)
    assert (entry.state, entry.attempts) == (State.REJECTED, 1)
    ledger.request(series, "xray")
    while ledger.claim() is None:  # and again, while it runs, unless it was awake and read it itself
        _settled(ledger, series)
        ledger.request(series, "xray")
    worker.wake()
    until(lambda: _entry(ledger, series).state is State.REJECTED, "it stays running")


def test_what_is_begun_at_a_stop_is_given_back(
    fake: FakeOrthanc, ledger: Ledger, work: Callable[..., Worker]
) -> None:
    series = _owed(fake, ledger)
    reading, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        reading.set()
        go_on.wait(10)

    fake.before("GET", ".*/file", wait)
    worker = work()
    assert reading.wait(10)
    threading.Timer(0.2, go_on.set).start()
    assert worker.stop(10)
    entry = _entry(ledger, series)
    assert (entry.state, entry.attempts) == (State.WAITING, 0)


def test_a_stop_does_not_wait_for_a_ledger_that_cannot_be_written(
    fake: FakeOrthanc, url: str, ledger: Ledger, work: Callable[..., Worker]
) -> None:
    series = _owed(fake, ledger)
    _refuse(ledger, _settles, 10**9)
    worker = work()
    until(lambda: worker.trouble, "the settlement fails")
    before = time.monotonic()
    assert worker.stop(10)
    assert time.monotonic() - before < 2
    assert _entry(ledger, series).state in (State.RUNNING, State.WAITING)
    next_start = Ledger(url)
    next_start.restart(lineups={})
    work(next_start)
    assert _settled(next_start, series).state is State.REJECTED
    assert len(fake.instances(Modality="SR")) == 1
    next_start.close()


def _cut_off(url: str, series: str, times: int) -> None:
    """Let Orthanc be killed so often while the series is being read."""
    for _ in range(times):
        ledger = Ledger(url)
        ledger.restart(lineups={})
        entry = ledger.claim()
        assert entry is not None
        assert entry.series == series
        ledger.close()


def test_bad_luck_is_not_poison(
    fake: FakeOrthanc, url: str, ledger: Ledger, work: Callable[..., Worker]
) -> None:
    other = _owed(fake, ledger, 2)
    ledger.claim()
    ledger.retry(_entry(ledger, other), "waits to be tried again", 4.0)
    unlucky = _owed(fake, ledger)
    _cut_off(url, unlucky, 3)
    ledger.restart(lineups={})
    work()
    until(lambda: _entry(ledger, unlucky).last_try is LastTry.OWED, "no last try is owed")
    waiting = _entry(ledger, unlucky)
    assert (waiting.state, waiting.attempts) == (State.WAITING, 3)
    assert "waits to be tried once more, alone" in str(waiting.error)
    done = _settled(ledger, other)
    last = _settled(ledger, unlucky)
    assert (last.state, last.attempts, last.error, last.last_try) == (State.REJECTED, 4, None, None)
    assert last.updated_at > done.updated_at, "it did not wait for the other"


def test_a_series_that_ends_orthanc_in_its_last_try_too_fails_until_an_upgrade(
    fake: FakeOrthanc, url: str, ledger: Ledger, work: Callable[..., Worker]
) -> None:
    poison = _owed(fake, ledger)
    _cut_off(url, poison, 3)
    ledger.restart(lineups={})
    worker = work(RetrySeconds=0.1)  # so that the last try is owed for a while
    until(lambda: _entry(ledger, poison).last_try is LastTry.OWED, "no last try is owed")
    assert worker.stop(10)
    until(lambda: (_entry(ledger, poison).due_at or math.inf) <= time.time(), "the last try is not due")
    _cut_off(url, poison, 1)
    ledger.restart(lineups={})
    worker = work()
    failed = _settled(ledger, poison)
    assert failed.state is State.FAILED
    assert "again and again" in str(failed.error)
    assert _reads(fake) == 0
    assert worker.stop(10)
    assert failed.models is not None
    ledger.restart(lineups={"xray": failed.models})
    assert _entry(ledger, poison).state is State.FAILED
    ledger.restart(lineups={"xray": "of the next version"})
    assert (_entry(ledger, poison).state, _entry(ledger, poison).last_try) == (State.WAITING, LastTry.OWED)
    _cut_off(url, poison, 1)
    ledger.restart(lineups={})
    work()
    assert _settled(ledger, poison).state is State.FAILED, "it ended Orthanc more than once after an upgrade"


def test_a_stop_during_the_last_try_keeps_it_owed(fake: FakeOrthanc, url: str, ledger: Ledger) -> None:
    series = _owed(fake, ledger)
    ledger.claim()
    ledger.retry(_entry(ledger, series), "cut off", 0.0, last_try=True)
    assert _entry(ledger, series).attempts == 0
    entry = ledger.claim()
    assert entry is not None
    assert entry.last_try is LastTry.OWED
    assert _entry(ledger, series).last_try is LastTry.BEGUN
    ledger.give_back(_entry(ledger, series))
    assert _entry(ledger, series).last_try is LastTry.OWED


def test_new_content_gives_the_attempts_and_the_last_try_back(fake: FakeOrthanc, ledger: Ledger) -> None:
    series = _owed(fake, ledger)
    ledger.claim()
    ledger.retry(_entry(ledger, series), "no memory", 100.0)
    assert _entry(ledger, series).attempts == 1
    ledger.advance(2, {series: "xray"}, {series: None})
    assert _entry(ledger, series).attempts == 0
    ledger.advance(3, {series: "xray"}, {series: time.time()})
    ledger.claim()
    ledger.retry(_entry(ledger, series), "cut off", 100.0, last_try=True)
    ledger.advance(4, {series: "xray"}, {series: time.time()})
    assert (_entry(ledger, series).attempts, _entry(ledger, series).last_try) == (0, None)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB. Skips where nothing may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "chest-ai-test", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def _fill(disk: Path) -> Path:
    """Take every byte that is left on a disk."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65536, 4096, 512, 1):
            while True:
                try:
                    if file.write(b"\0" * size) < size:
                        break
                except OSError:
                    break
        os.fsync(file.fileno())
    return filler


def test_a_disk_that_fills_up_in_mid_reading_only_holds_it_up(
    fake: FakeOrthanc, small_disk: Path, work: Callable[..., Worker]
) -> None:
    ledger = Ledger(f"sqlite:///{small_disk / 'ledger.sqlite'}")
    series = _owed(fake, ledger)
    fake.before("GET", ".*/file", lambda: (_fill(small_disk), None)[1])
    worker = work(ledger)
    until(lambda: worker.trouble, "the full disk is noticed")
    assert "full" in str(worker.trouble)
    assert _entry(ledger, series).state is State.RUNNING, "a full disk can still be read"
    (small_disk / "filler").unlink()
    assert _settled(ledger, series).state is State.REJECTED
    assert len(fake.instances(Modality="SR")) == 1
    assert worker.stop(10)
    ledger.close()
