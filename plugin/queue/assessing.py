"""A physician's word on a reading: stored as DICOM in the study, kept with the series in Orthanc."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pydicom
from pydicom.dataset import Dataset

from plugin.domain.assessment import Assessment, Decision
from plugin.domain.errors import NotHeld
from plugin.domain.kinds import Modality, ResultKind
from plugin.domain.outcome import Outcome, outcome_of
from plugin.domain.pacs import OwnPacs
from plugin.models.lineup import Lineup
from plugin.pipelines.steps import label_of
from plugin.queue.filing import as_file
from plugin.queue.labelling import Labelling
from plugin.queue.ledger import Ledger
from plugin.results.common import PRODUCT
from plugin.results.sr.assessment import Correction, Observer, build_assessment
from plugin.settings import Settings


class NotAssessable(Exception):
    """A word that cannot be taken, with the reason in one sentence."""


class Assessing:
    """Takes words on readings. Safe from several threads."""

    def __init__(
        self, pacs: OwnPacs, ledger: Ledger, lineup: Callable[[], Lineup], settings: Settings
    ) -> None:
        """``lineup``: gives the networks in use now, whose classes a word may choose from."""
        self._pacs = pacs
        self._ledger = ledger
        self._lineup = lineup
        self._settings = settings
        self._labelling = Labelling(pacs, ledger, settings.labels)
        self._one_at_a_time = threading.Lock()

    def take(
        self,
        series: str,
        *,
        assessed: str,
        decision: Decision,
        corrected: str | None,
        text: str,
        observer: Observer,
    ) -> Assessment:
        """Store a word on the report ``assessed`` of a series, and keep it with the series.

        Raises NotHeld where the ledger or Orthanc does not know the series, NotAssessable where the word
        cannot be taken, OSError where Orthanc refuses it.
        """
        with self._one_at_a_time:
            entry = self._ledger.get(series)
            if entry is None:
                raise NotHeld("nothing is known of this series")
            outcome = outcome_of(entry.outcome, series)
            report = self._report(outcome, assessed)
            correction = None if corrected is None else self._correction(corrected, entry.modality)
            before = self._pacs.assessments(series)
            moment = time.time()
            made_by = _made_by(report, outcome)
            document = build_assessment(
                report=report,
                decision=decision,
                observer=observer,
                moment=datetime.fromtimestamp(moment, UTC).astimezone(),
                label=label_of(self._settings),
                series_number=self._settings.reviews.series_number,
                correction=correction,
                text=text,
                made_by=made_by,
                predecessors=self._predecessors(before[:1]),
            )
            assessment = Assessment(
                decision=decision,
                by=observer.name,
                organization=observer.organization,
                verified=observer.verified,
                at=moment,
                text=text,
                corrected=corrected,
                meaning=correction.meaning if correction else None,
                report=self._pacs.store(as_file(document)),
                assessed=assessed,
                made_by=made_by,
                made_at=outcome.dated if outcome else None,
            )
            self._pacs.keep_assessments(series, (assessment, *before))
            self._labelling.tell(series)
            return assessment

    def _report(self, outcome: Outcome | None, assessed: str) -> Dataset:
        """The report that is assessed. Raises NotAssessable where it is not that of today's reading."""
        current = outcome.outputs[ResultKind.SR] if outcome else None
        if current is None:
            raise NotAssessable("this series has no Structured Report that a word could refer to")
        if current != assessed:
            raise NotAssessable("the series was read again meanwhile: look at the new result first")
        try:
            file = self._pacs.read_instance(current)
        except NotHeld:
            raise NotAssessable(
                "the Structured Report was deleted from Orthanc: read the series again"
            ) from None
        return pydicom.dcmread(io.BytesIO(file))

    def _correction(self, name: str, modality: Modality) -> Correction:
        """The class of that name. Raises NotAssessable where no classifier of the modality has one."""
        known = {
            one.name: Correction(meaning=one.meaning, code=one.code)
            for model in self._lineup().of(modality)
            if model.card.task == "classify"
            for one in reversed(model.card.logits.classes)
        }
        if name not in known:
            raise NotAssessable(f"class must be one of {', '.join(sorted(known))}")
        return known[name]

    def _predecessors(self, before: tuple[Assessment, ...]) -> list[Dataset]:
        """The documents of earlier words that Orthanc still holds."""
        found: list[Dataset] = []
        for one in before:
            try:
                found.append(pydicom.dcmread(io.BytesIO(self._pacs.read_instance(one.report))))
            except NotHeld:
                continue
        return found


def _made_by(report: Dataset, outcome: Outcome | None) -> str:
    networks = ", ".join(f"{model.name} {model.version}" for model in (outcome.models if outcome else ()))
    return f"{PRODUCT} {report.get('SoftwareVersions', '')} ({networks})"
