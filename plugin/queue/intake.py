"""Events and reconciliation: which series are owed a reading, written to the ledger.

Orthanc's callback is only a wake-up. What counts are Orthanc's changes, read from the last position that
the ledger has accounted for: they are on disk, and reading on costs what has happened since.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from pydicom.dataset import Dataset

from plugin.domain.errors import NoCandidate, NotHeld
from plugin.domain.kinds import Modality, State
from plugin.domain.outcome import outcome_of
from plugin.domain.pacs import Change, OwnPacs, SeriesRecord
from plugin.queue.filing import Filing
from plugin.queue.ledger import Entry, Ledger
from plugin.queue.urgent import goes_ahead
from plugin.screening import gate
from plugin.urgent_settings import UrgentRule

log = logging.getLogger(__name__)


class Intake:
    """Keeps the ledger abreast of what Orthanc holds. Used by one thread at a time."""

    def __init__(
        self,
        pacs: OwnPacs,
        ledger: Ledger,
        filing: Filing,
        *,
        stable_age: float,
        backlog_days: float,
        xray_modalities: Sequence[str],
        switched_off: Mapping[Modality, str],
        urgent: Sequence[UrgentRule] = (),
        others: Callable[[SeriesRecord], None] = lambda _record: None,
    ) -> None:
        """``stable_age``: Orthanc's StableAge in seconds; ``backlog_days``: how far to look back at first;
        ``switched_off``: what is not read at all, and why; ``urgent``: what goes ahead of all others;
        ``others`` hears of stable series that are not read.
        """
        self._others = others
        self._pacs = pacs
        self._ledger = ledger
        self._filing = filing
        self._stable_age = stable_age
        self._backlog_days = backlog_days
        self._xray_modalities = xray_modalities
        self._switched_off = switched_off
        self._urgent = urgent

    def catch_up(
        self, stopping: Callable[[], bool] = lambda: False, noted: Callable[[], None] = lambda: None
    ) -> None:
        """Account for every change that Orthanc has written since the last time.

        ``noted`` is called after each page of them, as it may have made series due.
        """
        position = self._start()
        while not stopping():
            changes, last, done = self._pacs.changes(position)
            self._account(changes, last)
            noted()
            position = last
            if done:
                break
        self._look_after_the_unannounced()

    def deleted(self, resources: Sequence[str]) -> None:
        """Account for series and instances that Orthanc has deleted.

        A series that is gone is forgotten, and its results go or stay, by the settings. One that was read
        with an instance that is gone is due again when its deletions have had time to come to an end.
        """
        for series in resources:
            entry = self._ledger.get(series)
            if entry is not None and not self._pacs.has_series(series):
                self._forget(entry)
        for series in self._ledger.series_of(resources):
            entry = self._ledger.get(series)
            if entry is not None and entry.state is not State.WAITING and self._pacs.has_series(series):
                log.info("series %s lost instances: checking it again", series)
                self._ledger.look_again(series, time.time() + self._stable_age)

    def modality(self, series: str) -> Modality:
        """``xray`` or ``ct`` for a candidate series.

        Raises NoCandidate with the reason for any other series, NotHeld where Orthanc does not hold it.
        """
        return self._modality(self._pacs.series(series))

    def _modality(self, record: SeriesRecord) -> Modality:
        header = Dataset()
        header.Modality = record.modality
        if record.instances and not record.modality:
            header.SOPClassUID = self._pacs.sop_class(record.instances[0])
        modality = gate.modality_of(header, self._xray_modalities)
        if modality is None:
            raise NoCandidate(f"modality {record.modality or '(none)'} is not read")
        if modality in self._switched_off:
            raise NoCandidate(self._switched_off[modality])
        return modality

    def _start(self) -> int:
        position = self._ledger.position()
        last = self._pacs.last_position()
        if position is None:
            return self._position_of(datetime.now(UTC) - timedelta(days=self._backlog_days), last)
        if position > last and self._pacs.changes(position)[1] < position:
            log.warning(
                "Orthanc's list of changes starts again (%d after %d): reading all of it", last, position
            )
            return 0
        return position

    def _position_of(self, moment: datetime, last: int) -> int:
        """The position before the first change at or after a moment, found by halving."""
        text = moment.strftime("%Y%m%dT%H%M%S")
        low, high = 0, last
        while low < high:
            middle = (low + high) // 2
            changes, _, _ = self._pacs.changes(middle)
            if not changes:
                high = middle
            elif changes[0].date < text:
                low = changes[0].position
            else:
                high = middle
        return low

    def _account(self, changes: Sequence[Change], last: int) -> None:
        if not changes and last == self._ledger.position():
            return  # else a ledger at rest would be written to at every look
        due: dict[str, float | None] = {}
        page = _Page(self._pacs)
        for change in changes:
            if change.kind in ("NewSeries", "StableSeries"):
                page.record(change.resource)
        for change in changes:
            if change.kind in ("NewSeries", "StableSeries"):
                due[change.resource] = time.time() if change.kind == "StableSeries" else None
            elif change.kind == "NewInstance":
                series = page.series_of(change.resource)
                if series is not None:
                    due[series] = None
        noted = {series: kind for series in due if (kind := self._candidate(page.record(series))) is not None}
        self._ledger.advance(last, noted, due, {series for series in noted if self._goes_ahead(page, series)})
        for change in changes:
            if change.kind == "StableSeries" and change.resource not in noted:
                record = page.record(change.resource)
                if record is not None:
                    self._look_at_sources_beside(record)
                    self._others(record)

    def _look_at_sources_beside(self, record: SeriesRecord) -> None:
        """Let a study's series be looked at again where one of this plugin's results came from elsewhere.

        So it is when Orthanc corrects a study, for it copies the results with the images.
        """
        if not self._filing.is_filed(record):
            return
        try:
            (instance,) = record.instances
            if self._pacs.origin(instance) == "Plugins":
                return
            siblings = self._pacs.siblings(record)
        except NotHeld:
            return
        found = [self._ledger.get(sibling.series) for sibling in siblings]
        entries = [entry for entry in found if entry is not None]
        if any(instance in entry.stored for entry in entries):
            return  # a worker elsewhere has stored it
        for entry in entries:
            if entry.state is not State.WAITING:
                self._ledger.look_again(entry.series, time.time())

    def _candidate(self, record: SeriesRecord | None) -> Modality | None:
        if record is None:
            return None
        try:
            return self._modality(record)
        except (NotHeld, NoCandidate):
            return None

    def _goes_ahead(self, page: _Page, series: str) -> bool:
        record = page.record(series)
        return record is not None and goes_ahead(self._pacs, record, self._urgent)

    def _forget(self, entry: Entry) -> None:
        """Forget a series that is gone; its results go or stay, by the settings.

        One that is being read is looked at again when its reading has ended, for it may store meanwhile.
        """
        if entry.state is State.RUNNING:
            self._ledger.look_again(entry.series, time.time())
            return
        kept = outcome_of(entry.outcome, entry.series)
        self._filing.withdraw([*entry.stored, *(kept.stored + kept.superseded if kept else ())])
        self._ledger.forget(entry.series)

    def _look_after_the_unannounced(self) -> None:
        """Make due what Orthanc calls stable but never announced (a lost event, changes cleared)."""
        quiet_since = time.time() - 2 * self._stable_age - 10
        for series in self._ledger.still_receiving(quiet_since):
            try:
                stable = self._pacs.series(series).stable
            except NotHeld:
                self.deleted([series])
                continue
            if stable:
                log.warning("series %s is stable though Orthanc did not say so", series)
                self._ledger.make_due(series)


class _Page:
    """The series that a page of changes is about. None stands for what was deleted since.

    Orthanc is asked once for each series, not once for each of its instances: a first start looks at a week
    of an archive.
    """

    def __init__(self, pacs: OwnPacs) -> None:
        self._pacs = pacs
        self._records: dict[str, SeriesRecord | None] = {}
        self._series: dict[str, str | None] = {}

    def record(self, series: str) -> SeriesRecord | None:
        """What Orthanc says of a series."""
        if series not in self._records:
            try:
                record = self._pacs.series(series)
            except NotHeld:
                self._records[series] = None
            else:
                self._records[series] = record
                self._series.update(dict.fromkeys(record.instances, series))
        return self._records[series]

    def series_of(self, instance: str) -> str | None:
        """The series that an instance belongs to."""
        if instance not in self._series:
            try:
                series = self._pacs.parent_series(instance)
            except NotHeld:
                self._series[instance] = None
            else:
                self._series[instance] = series
                self.record(series)
        return self._series[instance]
