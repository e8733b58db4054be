"""The course over time in the Structured Report: earlier percentages, and the change since the last.

The container of DICOM PS3.16 TID 1500 for what several studies give. Each earlier number has the date of
its study and, where the PACS holds it, the report that it comes from.
"""

from __future__ import annotations

from collections.abc import Sequence

from highdicom.sr import (
    CodedConcept,
    CompositeContentItem,
    ContainerContentItem,
    DateContentItem,
    NumContentItem,
    RelationshipTypeValues,
)
from highdicom.sr.value_types import ContentSequence
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from plugin.results import concepts
from plugin.results.common import reference_header
from plugin.results.summary import Earlier, latest

_CONTAINS = RelationshipTypeValues.CONTAINS


def course(percent: float, history: Sequence[Earlier]) -> ContainerContentItem:
    """The earlier percentages of both lungs and the change to ``percent`` since the last of them, in
    percentage points. Raises ValueError where there is no earlier result."""
    items = [
        _dated(concepts.BOTH_PERCENT, earlier.percent, concepts.PERCENT, earlier)
        for earlier in sorted(history, key=lambda e: e.day)
    ]
    before = latest(history)
    change = percent - before.percent
    items.append(_dated(concepts.PERCENT_CHANGE, change, concepts.PERCENTAGE_POINTS, before))
    container = ContainerContentItem(name=codes.DCM.DerivedImagingMeasurements, relationship_type=_CONTAINS)
    container.ContentSequence = ContentSequence(items)
    return container


def cited_reports(history: Sequence[Earlier]) -> list[Dataset]:
    """The reports that earlier numbers come from, as evidence."""
    cited = []
    for report in dict.fromkeys(earlier.report for earlier in history):
        if report is None:
            continue
        reference = Dataset()
        reference.StudyInstanceUID = report.study_instance_uid
        reference.SeriesInstanceUID = report.series_instance_uid
        reference.SOPClassUID = report.sop_class_uid
        reference.SOPInstanceUID = report.sop_instance_uid
        cited.append(reference_header(reference))
    return cited


def _dated(name: CodedConcept, value: float, unit: CodedConcept, earlier: Earlier) -> NumContentItem:
    item = NumContentItem(name=name, value=round(value, 6), unit=unit, relationship_type=_CONTAINS)
    study_date = DateContentItem(
        name=codes.DCM.StudyDate, value=earlier.day, relationship_type=RelationshipTypeValues.HAS_OBS_CONTEXT
    )
    item.ContentSequence = ContentSequence([study_date])
    if earlier.report is not None:
        cited = CompositeContentItem(
            name=concepts.EARLIER_REPORT,
            referenced_sop_class_uid=earlier.report.sop_class_uid,
            referenced_sop_instance_uid=earlier.report.sop_instance_uid,
            relationship_type=RelationshipTypeValues.INFERRED_FROM,
        )
        item.ContentSequence.append(cited)
    return item
