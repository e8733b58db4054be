"""Claims as leases, on SQLite and on a real PostgreSQL: nobody reads what another reads, and nobody who
has lost a claim stores or settles under it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from plugin.models.lineup import Lineup
from plugin.pipelines.reading import Stages
from plugin.queue.job import Job
from plugin.queue.leases import Heartbeat, LostClaim
from plugin.queue.ledger import Entry, Ledger, State
from plugin.queue.reader import Reader
from plugin.settings import SECTION, Settings, read_settings
from tests.dicom_factory import as_file, xray_dataset
from tests.fake_pacs import FakeOrthanc
from tests.intakes import intake_of

SERIES = "11111111-22222222-33333333-44444444-55555555"

Open = Callable[..., Ledger]


@pytest.fixture(params=["sqlite", "postgresql"])
def open_ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens one ledger again and again, for one holder after another."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    else:
        url = request.getfixturevalue("postgres").create_database(f"l{time.monotonic_ns()}")
    opened: list[Ledger] = []

    def open_it(holder: str, seconds: float = 60.0) -> Ledger:
        opened.append(Ledger(url, holder=holder, lease_seconds=seconds))
        return opened[-1]

    yield open_it
    for ledger in opened:
        ledger.close()


def _due(ledger: Ledger, series: str = SERIES, modality: str = "ct") -> None:
    ledger.advance(1, {series: modality}, {series: time.time() - 1})


def _claim(ledger: Ledger) -> Entry:
    entry = ledger.claim()
    assert entry is not None
    return entry


def _known(ledger: Ledger, series: str = SERIES) -> Entry:
    entry = ledger.get(series)
    assert entry is not None
    return entry


def _settle(ledger: Ledger, entry: Entry) -> None:
    ledger.settle(entry, State.DONE, models="m", outcome={"state": "done"}, stored=["i"])


def _begin(ledger: Ledger, entry: Entry) -> None:
    ledger.begin(entry, content="c", reading="r", instances=(), dated=None)


def test_a_claim_names_its_holder_and_when_it_ends(open_ledger: Open) -> None:
    ledger = open_ledger("anna")
    _due(ledger)
    before = _known(ledger)
    _claim(ledger)
    claimed = _known(ledger)
    assert claimed.holder == "anna"
    assert claimed.fence == before.fence + 1
    assert claimed.heartbeat is not None
    assert claimed.lease_until == pytest.approx(claimed.heartbeat + 60)
    assert claimed.heartbeat == pytest.approx(time.time(), abs=5)
    _settle(ledger, claimed)
    settled = _known(ledger)
    assert (settled.state, settled.holder, settled.lease_until) == (State.DONE, None, None)


def test_a_start_takes_back_its_own_at_once_and_leaves_what_another_reads(open_ledger: Open) -> None:
    anna, bert = open_ledger("anna"), open_ledger("bert")
    _due(anna)
    entry = _claim(anna)
    bert.restart(lineups={})
    assert bert.expire() == []
    assert bert.take_back() == []
    assert _known(bert).state is State.RUNNING
    assert bert.claim() is None
    open_ledger("anna").restart(lineups={})
    assert _known(bert).state is State.WAITING
    again = _claim(bert)
    assert (again.attempts, again.fence > entry.fence) == (2, True)


def test_what_a_holder_was_reading_when_it_ended_is_due_at_its_next_start(open_ledger: Open) -> None:
    anna, bert = open_ledger("anna"), open_ledger("bert")
    _due(anna)
    entry = _claim(anna)
    assert bert.cut_off() == []
    assert open_ledger("anna").cut_off() == [SERIES]
    with pytest.raises(LostClaim):
        _settle(anna, entry)
    assert _claim(bert).attempts == 2


def test_what_was_claimed_before_there_were_leases_is_taken_back(open_ledger: Open) -> None:
    ledger = open_ledger("anna")
    _due(ledger)
    _claim(ledger)
    with ledger._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE series SET holder = NULL, lease_until = NULL")
    open_ledger("bert").restart(lineups={})
    assert _known(ledger).state is State.WAITING


def test_an_expired_lease_makes_the_series_due_and_its_holder_powerless(open_ledger: Open) -> None:
    frozen, bert = open_ledger("frozen", 0.2), open_ledger("bert")
    _due(frozen)
    entry = _claim(frozen)
    assert bert.expire() == []
    time.sleep(0.3)
    assert bert.expire() == [SERIES]
    for act in (
        lambda: _begin(frozen, entry),
        lambda: frozen.storing(entry, ["x"]),
        lambda: _settle(frozen, entry),
        lambda: frozen.retry(entry, "no memory", 0),
        lambda: frozen.give_back(entry),
        lambda: frozen.forget(SERIES, claim=entry),
        lambda: frozen.check(entry),
    ):
        with pytest.raises(LostClaim):
            act()
    assert not frozen.renew(entry)
    again = _claim(bert)
    assert again.attempts == 2, "the attempt of the one that froze counts"
    assert again.stored == ()
    with pytest.raises(LostClaim):
        _settle(frozen, entry)
    _settle(bert, again)
    assert _known(bert).state is State.DONE


def test_a_lease_that_is_renewed_does_not_expire(open_ledger: Open) -> None:
    anna, bert = open_ledger("anna", 0.4), open_ledger("bert")
    _due(anna)
    entry = _claim(anna)
    with Heartbeat(anna, entry) as heartbeat:
        time.sleep(1.0)
        assert bert.expire() == []
    assert not heartbeat.lost
    time.sleep(0.6)
    assert bert.expire() == [SERIES]
    with Heartbeat(anna, entry) as heartbeat:
        time.sleep(0.3)
        assert heartbeat.lost


def test_new_content_is_not_read_beside_the_reading_of_the_old(open_ledger: Open) -> None:
    anna, bert = open_ledger("anna"), open_ledger("bert")
    _due(anna)
    entry = _claim(anna)
    anna.advance(2, {SERIES: "ct"}, {SERIES: time.time() - 1})
    assert _known(anna).state is State.WAITING
    assert bert.claim() is None
    _settle(anna, entry)
    assert _claim(bert).attempts == 1


def test_a_series_that_comes_again_has_no_fence_that_it_had(open_ledger: Open) -> None:
    anna, bert = open_ledger("anna"), open_ledger("bert")
    _due(anna)
    first = _claim(anna)
    anna.forget(SERIES)
    time.sleep(1.1)
    _due(bert)
    second = _claim(bert)
    assert second.fence > first.fence
    with pytest.raises(LostClaim):
        _settle(anna, first)


def _settings(**section: object) -> Settings:
    return read_settings({SECTION: {"Results": {"RejectionSr": "all"}, **section}})


@pytest.fixture
def one(tmp_path: Path) -> Iterator[tuple[Ledger, Ledger]]:
    """The ledger as the frozen worker has it, and as everybody else has."""
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    frozen, others = Ledger(url, holder="frozen", lease_seconds=0.05), Ledger(url, holder="other")
    yield frozen, others
    frozen.close()
    others.close()


def _film(fake: FakeOrthanc) -> str:
    """A film that the header rules reject, so that it is read without a network, with an SR."""
    return fake.add(as_file(xray_dataset(np.zeros((512, 512), np.uint16), BodyPartExamined="HIP")))


def _job(fake: FakeOrthanc, ledger: Ledger, entry: Entry, **section: object) -> None:
    Job(fake.pacs, ledger, Lineup(), _settings(**section), Stages(lambda *_: None)).run(entry)


@pytest.mark.parametrize(
    ("method", "call"), [("GET", ".*/file"), ("POST", "/instances"), ("PUT", ".*/metadata/4207")]
)
def test_a_worker_that_wakes_after_its_lease_changes_nothing(
    fake: FakeOrthanc, one: tuple[Ledger, Ledger], method: str, call: str
) -> None:
    """It is frozen before it reads, stores or keeps its outcome; meanwhile another settles the series."""
    frozen, others = one
    series = _film(fake)
    _due(frozen, series, "xray")
    entry = _claim(frozen)

    def meanwhile() -> None:
        time.sleep(0.1)
        assert others.expire() == [series]
        _job(fake, others, _claim(others), Language="pt")  # so that its report is another one

    fake.before(method, call, meanwhile)
    with pytest.raises(LostClaim):
        _job(fake, frozen, entry)
    settled = _known(others, series)
    assert settled.state is State.REJECTED
    assert settled.outcome is not None
    assert fake.instances(Modality="SR") == [settled.outcome["outputs"]["sr"]]


def test_results_that_are_current_all_the_same_stay(fake: FakeOrthanc, one: tuple[Ledger, Ledger]) -> None:
    frozen, others = one
    series = _film(fake)
    _due(frozen, series, "xray")
    entry = _claim(frozen)

    def meanwhile() -> None:
        time.sleep(0.1)
        assert others.expire() == [series]
        _job(fake, others, _claim(others))

    fake.before("POST", "/instances", meanwhile)
    with pytest.raises(LostClaim):
        _job(fake, frozen, entry)
    settled = _known(others, series)
    assert settled.outcome is not None
    assert fake.instances(Modality="SR") == [settled.outcome["outputs"]["sr"]]


class Killed(BaseException):
    """The end of a process, after which it clears nothing away."""


def test_what_a_worker_stores_when_it_wakes_and_is_killed_right_then_is_cleared_away_by_orthanc(
    fake: FakeOrthanc, one: tuple[Ledger, Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen, others = one
    intake = intake_of(fake, others, _settings())
    series = _film(fake)
    intake.catch_up()

    def killed(*_: object) -> None:
        raise Killed

    def meanwhile() -> None:
        """Between the check of the fence and the store; the next check finds the process gone."""
        time.sleep(0.1)
        assert others.expire() == [series]
        _job(fake, others, _claim(others), Language="pt")
        monkeypatch.setattr(frozen, "check", killed)

    fake.before("POST", "/instances", meanwhile)
    entry = _claim(frozen)
    with pytest.raises(Killed):
        _job(fake, frozen, entry)
    settled = _known(others, series)
    assert settled.outcome is not None
    current = settled.outcome["outputs"]["sr"]
    (stale,) = set(fake.instances(Modality="SR")) - {current}
    file = as_file(fake.file(stale))
    fake.delete(stale)
    fake.add(file)  # from another machine, as workers store
    intake.catch_up()
    _job(fake, others, _claim(others), Language="pt")
    assert fake.instances(Modality="SR") == [current]


def test_a_reader_stops_when_its_heartbeat_finds_the_claim_lost(
    fake: FakeOrthanc, one: tuple[Ledger, Ledger]
) -> None:
    frozen, others = one
    series = _film(fake)
    _due(frozen, series, "xray")
    entry = _claim(frozen)

    def meanwhile() -> None:
        with others._engine.begin() as connection:
            connection.exec_driver_sql("UPDATE series SET fence = fence + 1")
        time.sleep(0.2)

    fake.before("GET", ".*/file", meanwhile)
    reader = Reader(fake.pacs, frozen, Lineup(), _settings(), stopping=threading.Event())
    reader.read(entry)
    assert reader.running == []
    assert fake.instances(Modality="SR") == []
    assert _known(others, series).state is State.RUNNING, "whoever has it settles it"
