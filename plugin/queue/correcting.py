"""Segmentations that come back from a viewer: recognised, measured anew, kept beside the software's."""

from __future__ import annotations

import io
import logging
import time

import pydicom
from pydicom.dataset import Dataset

from plugin.dicom import headers
from plugin.domain.assessment import Correction
from plugin.domain.errors import ImagingError, NotHeld
from plugin.domain.kinds import Modality, ResultKind
from plugin.domain.outcome import outcome_of
from plugin.domain.pacs import OwnPacs, SeriesRecord
from plugin.queue.labelling import Labelling
from plugin.queue.ledger import Entry, Ledger
from plugin.results.common import read_text
from plugin.results.seg.edited import Masks, NotOurs, Unmeasurable, measure, read_masks
from plugin.screening.gate import is_own_result

log = logging.getLogger(__name__)


class Correcting:
    """Looks at Segmentations that the plugin has not made itself."""

    def __init__(self, pacs: OwnPacs, ledger: Ledger, labelling: Labelling) -> None:
        """``labelling`` says that a series was reviewed."""
        self._pacs = pacs
        self._ledger = ledger
        self._labelling = labelling

    def notice(self, record: SeriesRecord) -> None:
        """Keep what a stable series of Segmentations corrects, if it does. Never raises."""
        if record.modality != "SEG":
            return
        for instance in record.instances:
            try:
                self._look_at(instance, record)
            except (NotHeld, OSError, ImagingError) as error:
                log.warning("the Segmentation %s is passed over: %s", instance, error)
            except Exception:  # whatever somebody stores, the intake goes on
                log.exception("the Segmentation %s cannot be read", instance)

    def _look_at(self, instance: str, record: SeriesRecord) -> None:
        segmentation = pydicom.dcmread(io.BytesIO(self._pacs.read_instance(instance)))
        if is_own_result(segmentation):
            return
        entry = self._corrected(segmentation, record)
        if entry is None or any(
            known.segmentation == instance for known in self._pacs.corrections(entry.series)
        ):
            return
        outcome = outcome_of(entry.outcome, entry.series)
        original = outcome.outputs[ResultKind.SEG] if outcome else None
        lungs = reason = None
        try:
            lungs = measure(read_masks(segmentation), self._masks(original))
        except NotOurs:
            return
        except Unmeasurable as error:
            reason = str(error)
        found = Correction(
            segmentation=instance,
            corrects=original,
            by=read_text(segmentation, "ContentCreatorName"),
            made_with=read_text(segmentation, "ManufacturerModelName"),
            at=time.time(),
            lungs=lungs,
            reason=reason,
        )
        log.info("series %s: its Segmentation was corrected", entry.series)
        self._pacs.keep_corrections(entry.series, (found, *self._pacs.corrections(entry.series)))
        self._labelling.tell(entry.series)

    def _corrected(self, segmentation: Dataset, record: SeriesRecord) -> Entry | None:
        """The CT of the same study that the Segmentation refers to, as far as the ledger knows it."""
        references = headers.items(segmentation, "ReferencedSeriesSequence")
        named = {str(item.get("SeriesInstanceUID", "")) for item in references}
        for sibling in self._pacs.siblings(record):
            if sibling.series_uid in named:
                entry = self._ledger.get(sibling.series)
                if entry is not None and entry.modality is Modality.CT:
                    return entry
        return None

    def _masks(self, original: str | None) -> Masks | None:
        """The masks of the Segmentation that was corrected; None where Orthanc does not hold it."""
        if original is None:
            return None
        try:
            return read_masks(pydicom.dcmread(io.BytesIO(self._pacs.read_instance(original))))
        except (NotHeld, Unmeasurable):
            return None
