"""One series from claim to settlement: what was read before, the reading, storing, superseding."""

from __future__ import annotations

import io
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pydicom
from pydicom.dataset import Dataset

from plugin import pipelines
from plugin.domain.kinds import Modality
from plugin.models.lineup import Lineup
from plugin.pipelines.reading import Request, Stages
from plugin.queue.ledger import Entry, Ledger, State
from plugin.queue.outcome import is_settled_for, outcome, percent_involved, stored_ids
from plugin.results.identity import Identity
from plugin.results.summary import Earlier
from plugin.settings import Settings

if TYPE_CHECKING:
    from plugin.pacs import Pacs, SeriesRecord

log = logging.getLogger(__name__)


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

    def run(self, entry: Entry) -> None:
        """Read the series unless it was read as it is, with these models, or is gone."""
        if entry.modality in self._settings.switched_off:
            log.info("series %s is not read: its modality is switched off since", entry.series)
            self._ledger.forget(entry.series)
            return
        if entry.due_at is not None:
            self._stages.timings["wait"] = max(0.0, time.time() - entry.due_at)
        self._stages.enter("header")
        try:
            record = self._pacs.series(entry.series)
            content = self._pacs.content(record)
        except LookupError:
            log.info("series %s is gone", entry.series)
            self._ledger.forget(entry.series)
            return
        lineup = self._lineup.fingerprint(entry.modality)
        known = self._known(entry)
        if known is not None and not entry.forced and is_settled_for(known, content, lineup):
            self._settle(entry.series, known, stored_ids(known))
            return
        created = self._ledger.begin(entry.series, content)
        identity = Identity(
            series_uid=record.series_uid,
            fingerprint=content,
            models=lineup,
            created=datetime.fromtimestamp(created, UTC).astimezone(),
        )
        reading = pipelines.read(entry.modality, self._request(entry.modality, record, identity, known))
        self._stages.enter("store")
        outputs = self._store(entry.series, reading.results)
        superseded = self._supersede(entry, known, outputs)
        self._stages.end()
        state = State.DONE if reading.verdict.accepted else State.REJECTED
        result = outcome(
            state=state,
            content=content,
            lineup=lineup,
            models=self._lineup.of(entry.modality),
            timings=self._stages.timings,
            verdict=reading.verdict,
            findings=reading.findings,
            outputs=outputs,
            superseded=superseded,
        )
        self._pacs.keep_outcome(entry.series, result)
        self._settle(entry.series, result, list(outputs.values()))
        log.info("series %s: %s", entry.series, state)

    def _known(self, entry: Entry) -> dict[str, Any] | None:
        """The outcome of the last reading: the ledger's, or the one beside the images."""
        return entry.outcome or self._pacs.outcome(entry.series)

    def _request(
        self, modality: Modality, record: SeriesRecord, identity: Identity, known: dict[str, Any] | None
    ) -> Request:
        return Request(
            source=self._pacs.source(record),
            identity=identity,
            lineup=self._lineup,
            settings=self._settings,
            stages=self._stages,
            history=self._history(record.series) if modality == Modality.CT else (),
            predecessors=self._predecessors(known, identity),
        )

    def _history(self, series: str) -> tuple[Earlier, ...]:
        """What earlier studies of the same patient measured, as far as the PACS holds it."""
        history = []
        for date, kept in self._pacs.earlier_outcomes(series):
            percent = percent_involved(kept)
            if percent is None:
                continue
            try:
                day = datetime.strptime(date, "%Y%m%d").date()
            except ValueError:
                log.warning("series %s: an earlier study has no readable date and is left out", series)
                continue
            history.append(Earlier(day=day, percent=percent))
        return tuple(sorted(history, key=lambda earlier: earlier.day))

    def _predecessors(self, known: dict[str, Any] | None, identity: Identity) -> tuple[Dataset, ...]:
        """The report that this reading replaces, where Orthanc still holds it."""
        before = (known or {}).get("outputs", {}).get("sr")
        if before is None:
            return ()
        try:
            report = pydicom.dcmread(io.BytesIO(self._pacs.read_instance(before)))
        except LookupError:
            return ()
        if report.SOPInstanceUID == identity.sop_instance_uid("sr"):
            return ()
        return (report,)

    def _store(self, series: str, results: dict[str, Dataset]) -> dict[str, str]:
        """Store every result, having noted in the ledger what is about to be stored."""
        self._ledger.storing(series, [self._pacs.instance_id(result) for result in results.values()])
        outputs: dict[str, str] = {}
        for done, (kind, result) in enumerate(results.items()):
            self._stages.progress(done / len(results))
            buffer = io.BytesIO()
            result.save_as(buffer, enforce_file_format=True)
            outputs[kind] = self._pacs.store(buffer.getvalue())
        return outputs

    def _supersede(self, entry: Entry, known: dict[str, Any] | None, outputs: dict[str, str]) -> list[str]:
        """Clear away (or keep, by the settings) earlier results; the ids of all that ever were."""
        current = set(outputs.values())
        before = [*(known or {}).get("superseded", []), *entry.stored, *stored_ids(known)]
        superseded = [identifier for identifier in dict.fromkeys(before) if identifier not in current]
        if self._settings.superseded == "delete":
            for identifier in superseded:
                self._pacs.delete_instance(identifier)
        return superseded

    def _settle(self, series: str, result: dict[str, Any], stored: list[str]) -> None:
        self._ledger.settle(
            series,
            State(result["state"]),
            models=str(result["lineup"]),
            outcome=result,
            stored=stored,
        )
