"""What processes on one ledger know of each other, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from plugin.domain.kinds import Modality
from plugin.queue.ledger import Ledger, State

SERIES = "11111111-22222222-33333333-44444444-55555555"
OTHER = "99999999-22222222-33333333-44444444-55555555"

Open = Callable[..., Ledger]


@pytest.fixture(params=["sqlite", "postgresql"])
def open_ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens one ledger again and again, for one holder after another."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    else:
        url = request.getfixturevalue("postgres").create_database(f"f{time.monotonic_ns()}")
    opened: list[Ledger] = []

    def open_it(holder: str) -> Ledger:
        opened.append(Ledger(url, owner="site", holder=holder))
        return opened[-1]

    yield open_it
    for ledger in opened:
        ledger.close()


def _due(ledger: Ledger) -> None:
    now = time.time() - 1
    noted = {SERIES: "ct", OTHER: "xray"}
    ledger.advance(1, noted, dict.fromkeys(noted, now))


def _owed(ledger: Ledger, *, lost: tuple[Modality, ...] = (), older: float = 60) -> list[str]:
    return [entry.series for entry in ledger.unpublished(lost=lost, older=older, limit=10)]


def test_what_is_due_is_published_once_x_rays_first(open_ledger: Open) -> None:
    ledger = open_ledger("orthanc")
    _due(ledger)
    assert _owed(ledger) == [OTHER, SERIES]
    ledger.published([OTHER, SERIES])
    assert _owed(ledger) == []
    assert _owed(ledger, lost=(Modality.CT,)) == [], "it may still be on its way"
    assert _owed(ledger, lost=(Modality.CT,), older=-1) == [SERIES]


def test_what_comes_back_is_published_again(open_ledger: Open) -> None:
    orthanc, worker = open_ledger("orthanc"), open_ledger("worker")
    _due(orthanc)
    orthanc.published([OTHER, SERIES])
    entry = worker.claim_one(SERIES)
    assert entry is not None
    assert _owed(orthanc, lost=tuple(Modality), older=-1) == [OTHER], "what is being read is not owed"
    current = worker.get(SERIES)
    assert current is not None
    worker.give_back(current)
    assert _owed(orthanc) == [SERIES]
    orthanc.published([SERIES])
    orthanc.request(SERIES, "ct")
    assert _owed(orthanc) == [SERIES], "it is asked for anew"


def test_one_series_is_claimed_by_one_worker(open_ledger: Open) -> None:
    anna, bert = open_ledger("anna"), open_ledger("bert")
    _due(anna)
    assert anna.claim_one(SERIES) is not None
    assert bert.claim_one(SERIES) is None
    assert bert.claim_one("nobody knows it") is None
    assert bert.claim_one(OTHER) is not None


def test_a_last_try_goes_out_when_nothing_else_waits(open_ledger: Open) -> None:
    ledger, worker = open_ledger("orthanc"), open_ledger("worker")
    _due(ledger)
    entry = worker.claim_one(SERIES)
    assert entry is not None
    worker.retry(entry, "cut off", 0, last_try=True)
    assert _owed(ledger) == [OTHER]
    assert worker.claim_one(SERIES) is None
    other = worker.claim_one(OTHER)
    assert other is not None
    worker.settle(other, State.DONE, models="m", outcome={}, stored=[])
    assert _owed(ledger) == [SERIES]
    assert worker.claim_one(SERIES) is not None


def test_the_backlog_of_each_modality(open_ledger: Open) -> None:
    ledger = open_ledger("orthanc")
    _due(ledger)
    assert ledger.claim_one(OTHER) is not None
    backlog = ledger.backlog()
    assert (backlog[Modality.CT].waiting, backlog[Modality.CT].running) == (1, 0)
    assert backlog[Modality.CT].oldest_seconds == pytest.approx(1, abs=1)
    assert (backlog[Modality.XRAY].waiting, backlog[Modality.XRAY].running) == (0, 1)
    assert backlog[Modality.XRAY].oldest_seconds == 0


def test_a_role_is_one_holders_until_it_leaves_or_falls_silent(open_ledger: Open) -> None:
    first, second = open_ledger("pacs1"), open_ledger("pacs2")
    assert first.take_role("keeper", 60)
    assert not second.take_role("keeper", 60)
    assert first.take_role("keeper", 60)
    first.leave_role("keeper")
    second.leave_role("nothing")
    assert second.take_role("keeper", 0.1)
    time.sleep(0.2)
    assert first.take_role("keeper", 60)
    second.leave_role("keeper")
    assert not second.take_role("keeper", 60), "only who has a role leaves it"


def test_workers_are_known_until_they_leave(open_ledger: Open) -> None:
    anna, bert = open_ledger("anna"), open_ledger("bert")
    anna.report([Modality.CT], 5.0, None)
    bert.report([Modality.XRAY, Modality.CT], 6.0, {"series": SERIES, "stage": "decode", "progress": 0.5})
    anna.report([Modality.CT], 5.0, {"series": OTHER, "stage": "store", "progress": 0.0})
    first, second = anna.workers()
    assert (first.name, first.reads, first.since) == ("anna", (Modality.CT,), 5.0)
    assert first.running == {"series": OTHER, "stage": "store", "progress": 0.0}
    assert second.reads == (Modality.XRAY, Modality.CT)
    assert second.silent < 5
    bert.leave()
    assert [worker.name for worker in anna.workers()] == ["anna"]
    anna.dismiss(60)
    assert anna.workers()
    anna.dismiss(-1)
    assert anna.workers() == []


def test_what_orthanc_reads_with_and_who_it_is(open_ledger: Open) -> None:
    ledger = open_ledger("orthanc")
    assert ledger.recipes() == {}
    ledger.read_with({Modality.CT: "a", Modality.XRAY: "b"})
    ledger.read_with({Modality.CT: "c"})
    assert open_ledger("worker").recipes() == {Modality.CT: "c"}
    assert ledger.site() == "site"
