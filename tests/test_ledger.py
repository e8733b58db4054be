"""The ledger: what is owed survives kills, nothing is read twice, nothing is forgotten."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import SQLAlchemyError

from plugin.queue.ledger import Entry, Ledger, State

SERIES = "11111111-22222222-33333333-44444444-55555555"
OTHER = "99999999-22222222-33333333-44444444-55555555"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.sqlite'}"


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    opened = Ledger(url)
    yield opened
    opened.close()


def _entry(ledger: Ledger, series: str) -> Entry:
    """A series with the claim that it is under now."""
    entry = ledger.get(series)
    assert entry is not None
    return entry


def _settle(ledger: Ledger, series: str, state: State, content: str = "c", models: str = "m") -> None:
    outcome = {"state": state.value, "content": content, "lineup": models}
    ledger.settle(_entry(ledger, series), state, models=models, outcome=outcome, stored=["i1"])


def _begin(ledger: Ledger, series: str, **options: object) -> float:
    values = {"content": "content", "reading": "reading", "instances": (), "dated": None}
    return ledger.begin(_entry(ledger, series), **(values | options))


def test_a_new_ledger_has_no_position(ledger: Ledger) -> None:
    assert ledger.position() is None
    ledger.advance(7, {}, {})
    ledger.advance(9, {}, {})
    assert ledger.position() == 9


def test_a_series_being_received_is_not_claimed(ledger: Ledger) -> None:
    ledger.advance(1, {SERIES: "ct"}, {SERIES: None})
    assert ledger.claim() is None
    assert ledger.next_due() is None
    ledger.advance(2, {SERIES: "ct"}, {SERIES: time.time()})
    entry = ledger.claim()
    assert entry is not None
    assert (entry.series, entry.state, entry.attempts) == (SERIES, State.RUNNING, 1)
    assert ledger.claim() is None


def test_x_rays_go_first(ledger: Ledger) -> None:
    now = time.time()
    ledger.advance(1, {SERIES: "ct", OTHER: "xray"}, {SERIES: now - 10, OTHER: now})
    claimed = [entry.series for entry in (ledger.claim(), ledger.claim()) if entry]
    assert claimed == [OTHER, SERIES]


def test_a_kill_while_running_leaves_the_series_due(url: str, ledger: Ledger) -> None:
    ledger.advance(1, {SERIES: "ct"}, {SERIES: time.time()})
    assert ledger.claim() is not None
    again = Ledger(url)  # a second process after a kill
    again.restart(lineups={"ct": "m", "xray": "m"})
    entry = again.claim()
    assert entry is not None
    assert entry.attempts == 2
    again.close()


def test_a_kill_before_stability_leaves_the_series_due_after_the_stable_age(ledger: Ledger) -> None:
    ledger.advance(1, {SERIES: "ct"}, {SERIES: None})
    before = time.time()
    ledger.expect_no_announcement(30)
    due = ledger.next_due()
    assert due is not None
    assert 29 < due - before < 32
    assert ledger.claim() is None


def test_a_series_that_grows_while_it_is_read_waits_again(ledger: Ledger) -> None:
    ledger.advance(1, {SERIES: "ct"}, {SERIES: time.time()})
    ledger.claim()
    ledger.advance(2, {SERIES: "ct"}, {SERIES: None})
    _settle(ledger, SERIES, State.DONE)
    entry = ledger.get(SERIES)
    assert entry is not None
    assert entry.state is State.WAITING
    assert entry.due_at is None
    assert entry.outcome is not None
    ledger.advance(3, {SERIES: "ct"}, {SERIES: time.time()})
    claimed = ledger.claim()
    assert claimed is not None
    assert claimed.attempts == 1


def test_the_same_content_keeps_its_date(ledger: Ledger) -> None:
    ledger.advance(1, {SERIES: "ct"}, {SERIES: time.time()})
    first = _begin(ledger, SERIES)
    assert _begin(ledger, SERIES) == first
    assert _begin(ledger, SERIES, content="other content", reading="other reading") > first


def test_other_models_give_the_same_content_another_date(ledger: Ledger) -> None:
    ledger.advance(1, {SERIES: "ct"}, {SERIES: time.time()})
    january = _begin(ledger, SERIES)
    june = _begin(ledger, SERIES, reading="by the models of June")
    assert june > january
    assert _begin(ledger, SERIES, reading="by the models of June") == june


def test_a_date_that_the_pacs_has_kept_is_taken_over(ledger: Ledger) -> None:
    ledger.advance(1, {SERIES: "ct"}, {SERIES: time.time()})
    assert _begin(ledger, SERIES, dated=1.5) == 1.5
    assert _begin(ledger, SERIES) == 1.5


def test_a_deleted_instance_leads_to_its_series(ledger: Ledger) -> None:
    first, second, third = (f"{number}1111111-22222222-33333333-44444444-55555555" for number in (1, 2, 3))
    ledger.advance(1, {SERIES: "ct", OTHER: "xray"}, {SERIES: None, OTHER: None})
    _begin(ledger, SERIES, instances=(first, second))
    _begin(ledger, OTHER, instances=(third,))
    assert ledger.series_of([second, third]) == [SERIES]
    assert ledger.series_of([third]) == [], "a series of one instance goes with it"
    _begin(ledger, SERIES, instances=(first, third))
    assert ledger.series_of([second]) == []
    ledger.forget(SERIES)
    assert ledger.series_of([first, third]) == []


def test_what_is_about_to_be_stored_is_remembered(ledger: Ledger) -> None:
    ledger.advance(1, {SERIES: "ct"}, {SERIES: time.time()})
    ledger.storing(_entry(ledger, SERIES), ["a", "b"])
    ledger.storing(_entry(ledger, SERIES), ["b", "c"])
    entry = ledger.get(SERIES)
    assert entry is not None
    assert entry.stored == ("a", "b", "c")


def test_what_goes_ahead_is_taken_before_x_rays_and_before_what_was_due_earlier(ledger: Ledger) -> None:
    names = [f"{number}-{SERIES}" for number in range(5)]
    early, film, urgent, asked, later = names
    modalities = dict.fromkeys(names, "ct") | {film: "xray"}
    ledger.advance(1, modalities, {name: float(at) for at, name in enumerate(names)}, {urgent})
    ledger.request(asked, "ct")
    assert [entry.series for entry in ledger.next_ones(9)] == [urgent, asked, film, early, later]
    taken = []
    while (entry := ledger.claim()) is not None:
        taken.append(entry.series)
        ledger.settle(entry, State.DONE, models="m", outcome={}, stored=())
    assert taken == [urgent, asked, film, early, later]
    ledger.look_again(urgent, 1.0)
    ledger.look_again(asked, 1.0)
    assert _entry(ledger, urgent).first, "it is what it is, however often it is read"
    assert not _entry(ledger, asked).first, "nobody asks any more"


def test_an_urgent_series_that_ends_orthanc_again_and_again_waits_for_the_others(ledger: Ledger) -> None:
    ledger.advance(1, {SERIES: "ct", OTHER: "ct"}, {SERIES: 1.0, OTHER: 2.0}, {SERIES})
    entry = ledger.claim()
    assert entry is not None
    ledger.retry(entry, "cut off", 0, last_try=True)
    following = ledger.claim()
    assert following is not None
    assert following.series == OTHER


def test_a_retry_is_due_later_and_a_stop_does_not_count(ledger: Ledger) -> None:
    ledger.advance(1, {SERIES: "ct"}, {SERIES: time.time()})
    ledger.claim()
    ledger.retry(_entry(ledger, SERIES), "no memory", delay=100)
    assert ledger.claim() is None
    entry = ledger.get(SERIES)
    assert entry is not None
    assert (entry.error, entry.attempts) == ("no memory", 1)
    ledger.request(SERIES, "ct")
    claimed = ledger.claim()
    assert claimed is not None
    assert (claimed.forced, claimed.attempts) == (True, 1)
    ledger.give_back(_entry(ledger, SERIES))
    again = ledger.claim()
    assert again is not None
    assert again.attempts == 1


def test_a_failure_is_tried_again_with_other_models_only(ledger: Ledger) -> None:
    ledger.advance(1, {SERIES: "ct", OTHER: "ct"}, {SERIES: time.time(), OTHER: time.time()})
    for series, state in ((SERIES, State.FAILED), (OTHER, State.DONE)):
        ledger.claim()
        _settle(ledger, series, state)
    ledger.restart(lineups={"ct": "m", "xray": "x"})
    assert ledger.claim() is None
    ledger.restart(lineups={"ct": "m2", "xray": "x"})
    entry = ledger.claim()
    assert entry is not None
    assert entry.series == SERIES
    assert ledger.claim() is None


def test_listing_by_state_and_time(ledger: Ledger) -> None:
    ledger.advance(1, {SERIES: "ct", OTHER: "xray"}, {SERIES: None, OTHER: time.time()})
    ledger.claim()
    _settle(ledger, OTHER, State.REJECTED)
    assert ledger.counts()[State.REJECTED] == 1
    assert ledger.counts()[State.WAITING] == 1
    listed = ledger.entries(state=State.REJECTED, since=0, limit=10)
    assert [entry.series for entry in listed] == [OTHER]
    assert ledger.entries(state=None, since=time.time() + 5, limit=10) == []
    ledger.forget(OTHER)
    assert ledger.get(OTHER) is None


def test_series_without_news_are_found(ledger: Ledger) -> None:
    ledger.advance(1, {SERIES: "ct"}, {SERIES: None})
    assert ledger.still_receiving(time.time() - 1) == []
    assert ledger.still_receiving(time.time() + 1) == [SERIES]
    ledger.make_due(SERIES)
    assert ledger.claim() is not None


def test_many_threads_wait_for_their_turn(ledger: Ledger) -> None:
    many = {f"{number:08x}" + SERIES[8:]: "ct" for number in range(40)}
    ledger.advance(1, many, dict.fromkeys(many, time.time()))
    errors: list[Exception] = []
    claimed: list[str] = []

    def work() -> None:
        try:
            while (entry := ledger.claim()) is not None:
                claimed.append(entry.series)
                _begin(ledger, entry.series)
                ledger.storing(entry, ["a"])
                _settle(ledger, entry.series, State.DONE)
        except SQLAlchemyError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for position in range(2, 30):
        ledger.advance(position, {}, {})
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(claimed) == sorted(many), "one was claimed twice or never"


def test_nobody_who_reads_waits_for_somebody_who_writes(tmp_path: Path, ledger: Ledger) -> None:
    ledger.advance(3, {SERIES: "ct"}, {SERIES: time.time()})
    writer = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE series SET state = 'done'")
    before = time.monotonic()
    assert ledger.position() == 3
    assert ledger.counts()[State.WAITING] == 1
    assert ledger.next_due() is not None
    assert [entry.series for entry in ledger.entries(state=None, since=0, limit=10)] == [SERIES]
    assert time.monotonic() - before < 1
    writer.execute("ROLLBACK")
    writer.close()
