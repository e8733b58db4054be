"""One series from claim to settlement: what was read before, the reading, storing, superseding."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from plugin import pipelines
from plugin.domain.assessment import Assessment
from plugin.domain.errors import NoCandidate, NoRoom, NotHeld, SourceChanged
from plugin.domain.kinds import Modality, ResultKind, State
from plugin.domain.outcome import Outcome, kept_findings, kept_verdict, outcome_of
from plugin.domain.pacs import Pacs, SeriesRecord
from plugin.models.lineup import Lineup
from plugin.pipelines.reading import Reading, Request, Stages
from plugin.queue.filing import Filing
from plugin.queue.history import Imaged, Kept, comparable, report_of
from plugin.queue.leases import LostClaim
from plugin.queue.ledger import Entry, Ledger
from plugin.queue.outcome import models_of
from plugin.queue.recipe import reading, recipe
from plugin.results.identity import Identity, orthanc_id
from plugin.results.statement import state
from plugin.results.summary import Earlier
from plugin.settings import Settings

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_SHORTEST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
"""Seconds between two tries to keep something in an Orthanc that has no room."""


class Job:
    """Reads one claimed series and settles it. Any exception leaves the series open."""

    def __init__(
        self, pacs: Pacs, ledger: Ledger, lineup: Lineup, settings: Settings, stages: Stages
    ) -> None:
        """One job for one series; ``stages`` tells the progress and may stop the job."""
        self._pacs = pacs
        self._ledger = ledger
        self._lineup = lineup
        self._settings = settings
        self._stages = stages
        self._filing = Filing(pacs, settings)
        self._made: tuple[str, ...] = ()

    def run(self, entry: Entry) -> None:
        """Read the series unless it was read as it is, by this recipe. One that is gone is forgotten.

        Raises SourceChanged where the series got or lost instances meanwhile, so that it is to be read
        again, and LostClaim where somebody else has the series now; whatever else is raised is a failed
        attempt.
        """
        if entry.modality in self._settings.switched_off:
            log.info("series %s is not read: its modality has been switched off", entry.series)
            self._ledger.forget(entry.series, claim=entry)
            return
        if entry.due_at is not None:
            self._stages.timings["wait"] = max(0.0, time.time() - entry.due_at)
        self._stages.enter("header")
        try:
            self._read(entry)
        except NotHeld as error:
            if self._pacs.has_series(entry.series):
                raise SourceChanged(f"an instance was deleted while it was read: {error}") from error
            log.info("series %s is gone", entry.series)
            self._withdraw(entry)
        except NoCandidate as error:
            log.warning("series %s is not read: %s", entry.series, error)
            self._withdraw(entry)
        except LostClaim:
            self._clear_away(entry)
            raise

    def _read(self, entry: Entry) -> None:
        record = self._pacs.series(entry.series)
        content = self._pacs.content(record)
        made_by = recipe(self._lineup, self._settings, entry.modality)
        known = outcome_of(entry.outcome, entry.series) or self._pacs.outcome(entry.series)
        if known is not None and not entry.forced and known.answers(content, made_by):
            superseded = self._filing.supersede(record, _earlier(entry, known), known.stored)
            self._settle(entry, known.model_copy(update={"superseded": superseded}))
            return
        history = self._history(record) if entry.modality is Modality.CT else ()
        station = self._pacs.station(record)
        assessment = next(iter(self._pacs.assessments(entry.series)), None)
        told = reading(content, made_by, history, assessment)
        dated = self._ledger.begin(
            entry,
            content=content,
            reading=told,
            instances=record.instances,
            dated=known.dated if known and known.reading == told else None,
        )
        request = self._request(record, told, dated, known, history=history, assessment=assessment)
        read = pipelines.read(entry.modality, request)
        self._stages.enter("store")
        outputs = self._store(entry, record, read)
        self._ledger.check(entry)
        superseded = self._patiently(
            lambda: self._filing.supersede(record, _earlier(entry, known), outputs.values())
        )
        self._stages.end()
        outcome = Outcome(
            state=State.DONE if read.verdict.accepted else State.REJECTED,
            series=entry.series,
            station=station,
            content=content,
            recipe=made_by,
            reading=told,
            dated=dated,
            verdict=kept_verdict(read.verdict),
            findings=kept_findings(read.findings) if read.findings else None,
            answer=state(read.findings).answer if read.findings else None,
            thumbnail=read.thumbnail,
            outputs={**outputs},
            models=models_of(self._lineup, entry.modality),
            timings=self._stages.timings,
            superseded=superseded,
        )
        self._ledger.check(entry)
        self._patiently(lambda: self._pacs.keep_outcome(entry.series, outcome))
        self._settle(entry, outcome)
        log.info("series %s: %s", entry.series, outcome.state)

    def _request(
        self,
        record: SeriesRecord,
        told: str,
        dated: float,
        known: Outcome | None,
        *,
        history: tuple[Earlier, ...],
        assessment: Assessment | None,
    ) -> Request:
        created = datetime.fromtimestamp(dated, UTC).astimezone()
        identity = Identity(series_uid=record.series_uid, reading=told, created=created)
        return Request(
            source=self._pacs.source(record),
            identity=identity,
            lineup=self._lineup,
            settings=self._settings,
            stages=self._stages,
            history=history,
            assessment=assessment,
            predecessors=self._filing.predecessors(known, identity),
            site=self._settings.archive or self._pacs.identity() or "",
        )

    def _history(self, record: SeriesRecord) -> tuple[Earlier, ...]:
        """The earlier results of the same person that this one may be compared with."""
        segmenter = self._lineup.ct_segmentation
        if segmenter is None:
            return ()
        try:
            current = Imaged.of(self._pacs.tags(record.instances[0]))
            others = self._pacs.other_outcomes(record.series) if current.person.known else []
            kept = [self._kept(instance, before) for instance, before in others]
        except NotHeld as error:
            log.info(
                "series %s: the earlier study changed meanwhile and is left out: %s", record.series, error
            )
            return ()
        return comparable(current, kept, segmenter=segmenter.card.sha256)

    def _kept(self, instance: str, before: Outcome) -> Kept:
        """A series that was read before; its report is None where Orthanc no longer holds it."""
        report = None
        stored = before.outputs[ResultKind.SR]
        if stored is not None:
            try:
                report = report_of(self._pacs.tags(stored))
            except NotHeld:
                log.info("the report %s of an earlier reading is gone", stored)
        return Kept(imaged=Imaged.of(self._pacs.tags(instance)), outcome=before.as_json(), report=report)

    def _store(self, entry: Entry, record: SeriesRecord, read: Reading) -> dict[ResultKind, str]:
        """Store the results of a series that is still as it was read, and that stays so meanwhile.

        The ledger knows what is about to be stored before it is, and is asked before each result whether
        the claim still holds.
        """
        self._check_unchanged(record)
        made = tuple(
            orthanc_id(r.PatientID or "", r.StudyInstanceUID, r.SeriesInstanceUID, r.SOPInstanceUID)
            for r in read.results.values()
        )
        self._ledger.storing(entry, made)
        self._made = made

        def next_one(progress: float) -> None:
            self._ledger.check(entry)
            self._stages.progress(progress)

        outputs = self._filing.store(read.results, next_one, self._patiently)
        self._check_unchanged(record)
        return outputs

    def _patiently(self, write: Callable[[], _T]) -> _T:
        """What a write to Orthanc gives, tried again as long as Orthanc has no room for it."""
        pause = _SHORTEST_PAUSE
        while True:
            try:
                result = write()
                break
            except NoRoom as error:
                why = f"{error}; it is tried again until it has"
                if pause == _SHORTEST_PAUSE:
                    log.error("%s", why)
                self._stages.wait(why, pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
        if pause != _SHORTEST_PAUSE:
            log.warning("Orthanc has room again")
            self._stages.go_on()
        return result

    def _check_unchanged(self, record: SeriesRecord) -> None:
        """Raise NotHeld where a series is gone, SourceChanged where it has other instances than before."""
        now = self._pacs.series(record.series)
        if set(now.instances) != set(record.instances):
            raise SourceChanged(f"{len(record.instances)} instances became {len(now.instances)}")

    def _withdraw(self, entry: Entry) -> None:
        """Forget a series, and delete what this reading stored for it; earlier results by the settings."""
        self._ledger.check(entry)
        self._filing.delete(self._made)
        self._filing.withdraw(_earlier(entry, outcome_of(entry.outcome, entry.series)))
        self._ledger.forget(entry.series, claim=entry)

    def _clear_away(self, entry: Entry) -> None:
        """Delete what this reading stored under a claim that it had lost, unless it is current all the same.

        Whoever has the series now makes the same objects of the same content, and names them in the ledger.
        """
        current = self._ledger.get(entry.series)
        self._filing.delete(set(self._made) - set(current.stored if current else ()))

    def _settle(self, entry: Entry, outcome: Outcome) -> None:
        self._ledger.settle(
            entry,
            outcome.state,
            models=outcome.recipe,
            outcome=outcome.as_json(),
            stored=outcome.stored,
        )


def _earlier(entry: Entry, known: Outcome | None) -> list[str]:
    """Orthanc's ids of all that was ever stored for a series."""
    return [*(known.superseded if known else ()), *entry.stored, *(known.stored if known else ())]
