"""A queue of series and the workers that read it, simulated event by event; nothing runs."""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from demo.measure import percentile

HOUR = 3600.0

DAY = (1, 1, 1, 1, 1, 2, 4, 8, 12, 14, 14, 13, 11, 12, 13, 12, 10, 7, 5, 4, 3, 3, 2, 1)
"""How a hospital's studies are spread over the hours of its day: assumed, with its peak before noon."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """One series: when it is due, in seconds, and how long a worker takes to read it."""

    due: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """The rule by which KEDA sets the number of workers: one for every ``threshold`` that wait.

    It looks every ``poll`` seconds, a new worker is ready after ``start``, and workers end when fewer have
    been wanted for ``cooldown`` seconds (the stabilization of Kubernetes' autoscaler).
    """

    threshold: int = 4
    least: int = 1
    most: int = 20
    poll: float = 10.0
    start: float = 30.0
    cooldown: float = 300.0

    def wanted(self, waiting: int) -> int:
        """The number of workers for so many series that wait."""
        return min(self.most, max(self.least, math.ceil(waiting / self.threshold)))


@dataclass(kw_only=True)
class Course:
    """What came of it: seconds that each series waited, the most workers at once, the seconds of all."""

    waits: list[float] = field(default_factory=list)
    most_workers: int = 0
    worker_seconds: float = 0.0
    end: float = 0.0

    def wait(self, percent: int) -> float:
        """The wait in seconds that so many of 100 series do not exceed."""
        return percentile(self.waits, percent) if self.waits else 0.0


def arrivals(
    studies: int, seconds: Sequence[float], *, seed: int = 1, hours: Sequence[float] = DAY
) -> list[Work]:
    """A day's series, at random within the hours by their weights; service times drawn from measured ones."""
    rng = random.Random(seed)  # noqa: S311 - a simulation, no secret
    starts = rng.choices(range(len(hours)), weights=hours, k=studies)
    due = sorted(HOUR * (hour + rng.random()) for hour in starts)
    return [Work(due=moment, seconds=rng.choice(seconds)) for moment in due]


def simulate(work: Sequence[Work], workers: int | Scaling) -> Course:
    """Let workers read series in the order in which they are due."""
    rule = workers if isinstance(workers, Scaling) else Scaling(least=workers, most=workers)
    return _Run(rule).run(work)


class _Run:
    """The state of one simulation."""

    def __init__(self, rule: Scaling) -> None:
        self._rule = rule
        self._course = Course()
        self._waiting: deque[Work] = deque()
        self._free = rule.least
        self._alive = rule.least
        self._starting = 0
        self._wanted: list[tuple[float, int]] = []
        self._now = 0.0

    def run(self, work: Sequence[Work]) -> Course:
        """The whole course."""
        left = len(work)
        self._course.most_workers = self._alive
        events: list[tuple[float, int, str, Work | None]] = [
            (one.due, order, "due", one) for order, one in enumerate(work)
        ]
        heapq.heapify(events)
        order = len(events)
        scales = self._rule.least != self._rule.most
        if scales:
            heapq.heappush(events, (self._rule.poll, order, "poll", None))
        while left:
            moment, _, kind, one = heapq.heappop(events)
            self._pass(moment)
            if kind == "due" and one is not None:
                self._waiting.append(one)
            elif kind == "read":
                left -= 1
                self._end_one()
            elif kind == "started":
                self._starting -= 1
                self._alive += 1
                self._free += 1
            elif kind == "poll":
                for _ in range(self._scale()):
                    order += 1
                    heapq.heappush(events, (moment + self._rule.start, order, "started", None))
                order += 1
                heapq.heappush(events, (moment + self._rule.poll, order, "poll", None))
            for end in self._take():
                order += 1
                heapq.heappush(events, (end, order, "read", None))
        self._course.end = self._now
        return self._course

    def _pass(self, moment: float) -> None:
        self._course.worker_seconds += (moment - self._now) * (self._alive + self._starting)
        self._now = moment

    def _take(self) -> Iterator[float]:
        """Let free workers take what waits; when each will have read it."""
        while self._free and self._waiting:
            one = self._waiting.popleft()
            self._free -= 1
            self._course.waits.append(self._now - one.due)
            yield self._now + one.seconds

    def _end_one(self) -> None:
        """A worker has read its series, and ends if there are more than are wanted."""
        if self._alive > self._stable():
            self._alive -= 1
        else:
            self._free += 1

    def _scale(self) -> int:
        """How many workers to start now; ends free ones that are wanted no more."""
        self._wanted.append((self._now, self._rule.wanted(len(self._waiting))))
        self._wanted = [(at, many) for at, many in self._wanted if at > self._now - self._rule.cooldown]
        missing = max(0, self._wanted[-1][1] - self._alive - self._starting)
        self._starting += missing
        self._course.most_workers = max(self._course.most_workers, self._alive + self._starting)
        surplus = min(self._free, max(0, self._alive + self._starting - self._stable()))
        self._free -= surplus
        self._alive -= surplus
        return missing

    def _stable(self) -> int:
        """The most workers that were wanted of late."""
        return max((many for _, many in self._wanted), default=self._rule.least)
