"""Results in the PACS: stored beside their series, superseded, withdrawn. One current set for each series."""

from __future__ import annotations

import functools
import io
import logging
from collections.abc import Callable, Collection, Iterable, Mapping

import pydicom
from pydicom.dataset import Dataset

from plugin.domain.errors import NotHeld
from plugin.domain.kinds import ResultKind
from plugin.domain.outcome import Outcome
from plugin.domain.pacs import Pacs, SeriesRecord
from plugin.results.common import PRODUCT
from plugin.results.identity import Identity, orthanc_id
from plugin.screening.gate import is_own_result
from plugin.settings import Settings

log = logging.getLogger(__name__)

MODALITIES = frozenset({"SR", "SEG", "DOC", "OT", "KO"})
"""The DICOM modalities that results have."""


class Filing:
    """Files results in the PACS, and clears away those that are not current any more."""

    def __init__(self, pacs: Pacs, settings: Settings) -> None:
        """``settings`` say what happens to superseded results, and to those of a deleted series."""
        self._pacs = pacs
        self._delete_superseded = settings.superseded == "delete"
        self._delete_orphans = settings.source_deleted == "delete"

    def store(
        self,
        results: Mapping[str, Dataset],
        progress: Callable[[float], None],
        patiently: Callable[[Callable[[], str]], str],
    ) -> dict[ResultKind, str]:
        """Store every result, ``patiently``: Orthanc's ids by kind. Raises OSError where one is refused."""
        outputs = {}
        for done, (kind, result) in enumerate(results.items()):
            progress(done / len(results))
            file = as_file(result)
            outputs[ResultKind(kind)] = patiently(functools.partial(self._pacs.store, file))
        return outputs

    def supersede(
        self, record: SeriesRecord, earlier: Iterable[str], current: Iterable[str]
    ) -> tuple[str, ...]:
        """Clear away (or keep, by the settings) what is not current any more; the ids of all that ever were.

        ``earlier``: what is known to have been stored for the series. What lies in the study besides, by
        a correction of the patient or from elsewhere, is looked for.
        """
        now, known = set(current), list(earlier)
        every = dict.fromkeys([*known, *self._strays(record, besides={*known, *now})])
        superseded = tuple(identifier for identifier in every if identifier not in now)
        if self._delete_superseded:
            self.delete(superseded)
        return superseded

    def withdraw(self, stored: Iterable[str]) -> None:
        """Delete (or keep, by the settings) the results of a series that Orthanc has deleted."""
        if self._delete_orphans:
            self.delete(stored)

    def delete(self, instances: Iterable[str]) -> None:
        """Delete instances, whether they exist or not."""
        for instance in instances:
            self._pacs.delete_instance(instance)

    def predecessors(self, known: Outcome | None, identity: Identity) -> tuple[Dataset, ...]:
        """The reports that a reading replaces; where its own report stands already, those that it names."""
        before = known.outputs[ResultKind.SR] if known else None
        if before is None:
            return ()
        try:
            report = _header(self._pacs.read_instance(before))
        except NotHeld:
            return ()
        if report.SOPInstanceUID == identity.sop_instance_uid(ResultKind.SR):
            return tuple(_named_predecessors(report))
        return (report,)

    def is_filed(self, record: SeriesRecord) -> bool:
        """Whether Orthanc's index makes a series look like one of this plugin's results."""
        return record.modality in MODALITIES and record.manufacturer == PRODUCT and len(record.instances) == 1

    def _strays(self, record: SeriesRecord, besides: Collection[str]) -> list[str]:
        """Own results in the study that speak of this series, or that are copies of another study's.

        Those of ``besides`` are known, and not looked at.

        Orthanc corrects a study by copying it, results and all, under new UIDs; what the copied results
        refer to is left as it was, so that they speak of no series of their study (seen on 1.10.1).
        """
        siblings = self._pacs.siblings(record)
        sources = [sibling for sibling in siblings if not self.is_filed(sibling)]
        strays = []
        for sibling in siblings:
            if not self.is_filed(sibling):
                continue
            (instance,) = sibling.instances
            if instance in besides:
                continue
            try:
                result = _header(self._pacs.read_instance(instance))
                copied = self._pacs.is_copy(sibling.series)
            except NotHeld:
                continue
            if not is_own_result(result):
                continue
            spoken_of = {source.series for source in sources if _speaks_of(result, source)}
            if record.series in spoken_of or (copied and not spoken_of):
                strays.append(instance)
        return strays


def as_file(document: Dataset) -> bytes:
    """A DICOM object as its file."""
    buffer = io.BytesIO()
    document.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _header(file: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(file), stop_before_pixels=True)


def _speaks_of(result: Dataset, source: SeriesRecord) -> bool:
    """Whether a result refers to an instance of a series of its own study."""
    instances = set(source.instances)
    above = (str(result.get("PatientID") or ""), str(result.StudyInstanceUID), source.series_uid)
    return any(
        orthanc_id(*above, str(element.value)) in instances
        for element in result.iterall()
        if element.keyword == "ReferencedSOPInstanceUID"
    )


def _named_predecessors(report: Dataset) -> Iterable[Dataset]:
    """What a report's Predecessor Documents Sequence refers to (DICOM PS3.3 Section C.17.2.3)."""
    for study in report.get("PredecessorDocumentsSequence", ()):
        for series in study.ReferencedSeriesSequence:
            for document in series.ReferencedSOPSequence:
                named = Dataset()
                named.StudyInstanceUID = study.StudyInstanceUID
                named.SeriesInstanceUID = series.SeriesInstanceUID
                named.SOPClassUID = document.ReferencedSOPClassUID
                named.SOPInstanceUID = document.ReferencedSOPInstanceUID
                yield named
