"""What a pipeline is given, what it tells on the way, and what it gives back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from plugin.dicom.imaging import SeriesSource
from plugin.domain.assessment import Assessment
from plugin.domain.findings import Findings, Verdict
from plugin.domain.outcome import KeptThumbnail
from plugin.models.lineup import Lineup
from plugin.results.identity import Identity
from plugin.results.summary import Earlier
from plugin.settings import Settings


class Stages:
    """The stage a reading is in, how far it is, and the seconds that each stage took.

    ``report(stage, progress)`` is called at every change, progress from 0 to 1; ``wait(why, seconds)`` waits
    for what is not the reading's fault. Either may raise to stop the reading.
    """

    def __init__(
        self,
        report: Callable[[str, float], None],
        wait: Callable[[str, float], None] = lambda _why, seconds: time.sleep(seconds),
    ) -> None:
        """Start the clock."""
        self.timings: dict[str, float] = {}
        self.wait = wait
        self._report = report
        self._stage, self._share = "", 0.0
        self._since = time.monotonic()

    def enter(self, stage: str) -> None:
        """End the stage before and begin another."""
        self.end()
        self._stage = stage
        self.progress(0.0)

    def progress(self, share: float) -> None:
        """Say how much of the stage is done, 0 to 1."""
        self._share = share
        self._report(self._stage, share)

    def go_on(self) -> None:
        """Say the same again: nothing is waited for any more."""
        self.progress(self._share)

    def end(self) -> None:
        """End the stage before."""
        now = time.monotonic()
        if self._stage:
            self.timings[self._stage] = self.timings.get(self._stage, 0.0) + now - self._since
        self._stage, self._since = "", now


@dataclass(frozen=True, kw_only=True)
class Request:
    """One series to be read: where its instances are, with what, and who its results will be.

    ``history``: what earlier studies of the same patient measured; ``assessment``: a physician's word on
    an earlier result of this series; ``predecessors``: the reports that this reading replaces; ``site``:
    what tells this Orthanc from others.
    """

    source: SeriesSource
    identity: Identity
    lineup: Lineup
    settings: Settings
    stages: Stages
    site: str = ""
    history: tuple[Earlier, ...] = ()
    assessment: Assessment | None = None
    predecessors: tuple[Dataset, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What came of it: the verdict, the findings where it was accepted, the DICOM objects to store.

    ``results``: by kind (``plugin.domain.kinds.ResultKind``), in the order in which to store them;
    ``thumbnail``: of a CT that was segmented.
    """

    verdict: Verdict
    findings: Findings | None = None
    results: dict[str, Dataset] = field(default_factory=dict)
    thumbnail: KeptThumbnail | None = None
