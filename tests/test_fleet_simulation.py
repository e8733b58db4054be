"""The simulation of queues and workers, against what can be counted by hand and against theory."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from demo.fleet import bench
from demo.fleet.simulation import DAY, HOUR, Scaling, Work, arrivals, simulate


def test_one_worker_reads_one_after_the_other() -> None:
    course = simulate([Work(due=0, seconds=10), Work(due=1, seconds=5), Work(due=100, seconds=1)], 1)
    assert course.waits == [0, 9, 0]
    assert course.end == 101
    assert course.worker_seconds == 101


def test_two_workers_share() -> None:
    course = simulate([Work(due=0, seconds=10)] * 4, 2)
    assert course.waits == [0, 0, 10, 10]
    assert course.end == 20
    assert (course.wait(50), course.wait(95)) == (10, 10)


@pytest.mark.parametrize(("workers", "load"), [(1, 0.6), (2, 0.6), (4, 0.7)])
def test_waits_are_erlang_s(workers: int, load: float) -> None:
    """Poisson arrivals and exponential service: the mean wait is known (M/M/c, Erlang C)."""
    rng = random.Random(5)
    moment, work = 0.0, []
    for _ in range(60_000):
        moment += rng.expovariate(workers * load)
        work.append(Work(due=moment, seconds=rng.expovariate(1.0)))
    offered = workers * load
    busy = offered**workers / math.factorial(workers) / (1 - load)
    erlang = busy / (sum(offered**k / math.factorial(k) for k in range(workers)) + busy)
    expected = erlang / (workers * (1 - load))
    course = simulate(work, workers)
    assert sum(course.waits) / len(course.waits) == pytest.approx(expected, rel=0.07)


def test_keda_s_rule() -> None:
    rule = Scaling(threshold=4, least=1, most=5)
    assert [rule.wanted(waiting) for waiting in (0, 1, 4, 5, 8, 9, 100)] == [1, 1, 1, 2, 2, 3, 5]


def test_workers_come_when_series_wait_and_go_afterwards() -> None:
    burst = [Work(due=0, seconds=20)] * 41
    rule = Scaling(threshold=4, most=20, poll=10, start=30, cooldown=60)
    course = simulate([*burst, Work(due=2000, seconds=1)], rule)
    assert course.most_workers == 10, "40 wait at the first look"
    assert course.wait(95) < simulate(burst, 1).wait(95) / 5
    assert course.waits[-1] == 0
    assert course.worker_seconds < 2000 + 10 * 300, "they did not go"
    assert course.worker_seconds > 2000, "one always stays"


def test_a_day_has_its_peak_and_every_study() -> None:
    day = arrivals(10_000, [1.0, 2.0], seed=2)
    assert len(day) == 10_000
    assert [one.due for one in day] == sorted(one.due for one in day)
    assert {one.seconds for one in day} == {1.0, 2.0}
    peak = sum(9 * HOUR <= one.due < 10 * HOUR for one in day)
    assert peak == pytest.approx(10_000 * DAY[9] / sum(DAY), rel=0.1)
    assert arrivals(10, [1.0], seed=2) == arrivals(10, [1.0], seed=2)


def test_a_day_is_told_for_both_kinds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "_service", lambda *_: ({"xray": [1.5], "ct": [8.0]}, {"xray": 20, "ct": 90}))
    real = bench.Run(
        name="2 workers",
        workers=2,
        work=[],
        waits=[],
        seconds=1,
        answers=[],
        transactions=50.0,
    )
    bench.capacity(tmp_path, tmp_path, [real], ct_seconds=2.0)
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines() if line.startswith("| 1")]
    assert [(row[1].strip(), row[2].strip()) for row in rows] == [
        (studies, kind) for studies in ("1,000", "10,000", "100,000") for kind in ("xray", "ct")
    ]
    cts = [row for row in rows if row[2].strip() == "ct"]
    workers = [int(row[5]) for row in cts]
    assert workers == sorted(workers)
    peak = 20_000 * max(DAY) / sum(DAY) / HOUR  # CTs a second
    assert workers[-1] >= peak * 2.0, "fewer than are busy at the peak"
    assert float(cts[-1][7]) == pytest.approx(peak * 90, abs=0.1)
    assert float(cts[-1][8]) == pytest.approx(peak * 50, abs=0.1)
