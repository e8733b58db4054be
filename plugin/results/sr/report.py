"""The Structured Report: Comprehensive SR with TID 1500 "Imaging Measurement Report" as its root.

DICOM PS3.3 Section A.35.3 and PS3.16 TID 1500. Stays within what Comprehensive SR can say, which is
what viewers show.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import date
from types import MappingProxyType

from highdicom.sr import (
    CodeContentItem,
    CodedConcept,
    ComprehensiveSR,
    ContainerContentItem,
    DateContentItem,
    DeviceObserverIdentifyingAttributes,
    ImageContentItem,
    LanguageOfContentItemAndDescendants,
    MeasurementReport,
    NumContentItem,
    ObservationContext,
    ObserverContext,
    RelationshipTypeValues,
    TextContentItem,
    UIDRefContentItem,
)
from highdicom.sr.value_types import ContentSequence
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from plugin.dicom.imaging import Instance
from plugin.domain.findings import Findings
from plugin.results import concepts
from plugin.results.common import SeriesLabel, finish, reference_header
from plugin.results.identity import Identity
from plugin.results.seg.segmentation import SEGMENTS
from plugin.results.sr import groups
from plugin.results.sr.regions import KeyRegion
from plugin.results.summary import Earlier, latest, sentence, summarise
from plugin.results.texts import Texts

_CONTAINS = RelationshipTypeValues.CONTAINS
_MODALITY = {
    "CT": codes.cid29.ComputedTomography,
    "CR": codes.cid29.ComputedRadiography,
    "DX": codes.cid29.DigitalRadiography,
}


def build_sr(
    *,
    findings: Findings,
    sources: Sequence[Instance],
    identity: Identity,
    label: SeriesLabel,
    segmentation: Dataset | None = None,
    regions: Mapping[str, KeyRegion] = MappingProxyType({}),
    history: Sequence[Earlier] = (),
    predecessors: Sequence[Dataset] = (),
) -> Dataset:
    """The Structured Report of one series, also of a rejected one (its remarks say why).

    ``sources`` are the instances that were read (at least one, of one series), ``segmentation`` the SEG
    made of the same findings, to which the volumes are tied; ``regions`` where each is best seen (see
    :func:`plugin.results.sr.regions.key_regions`; without, the whole of the middle image). ``history`` are
    earlier results of the same patient, ``predecessors`` earlier SRs that this
    one replaces: datasets with SOP Class, SOP Instance, Series and Study Instance UID.
    Raises ValueError where there are no sources.
    """
    if not sources:
        raise ValueError("a report needs at least one source instance")
    references = [reference_header(instance.header) for instance in sources]
    measured = groups.all_groups(
        findings=findings,
        references=references,
        identity=identity,
        texts=label.texts,
        segmentation=segmentation,
        regions=regions,
    )
    report = MeasurementReport(
        observation_context=_observers(label),
        procedure_reported=concepts.PROCEDURE[findings.modality],
        imaging_measurements=measured,
        language_of_content_item_and_descendants=LanguageOfContentItemAndDescendants(
            concepts.LANGUAGE[label.language]
        ),
    )
    _insert_image_library(report[0].ContentSequence, references)
    comments = _comments(findings, segmentation, identity, label.texts)
    summary = summarise(findings, label.texts, history)
    content = report[0].ContentSequence
    if history and findings.lungs is not None:
        content.append(_course(findings.lungs.percent, history))
    content.append(_evaluations(groups.quality(findings), summary, comments))
    evidence = [*references, *([segmentation] if segmentation is not None else [])]
    result = ComprehensiveSR(
        evidence=evidence,
        content=report,
        series_instance_uid=identity.series_instance_uid("sr"),
        series_number=label.numbers["sr"],
        sop_instance_uid=identity.sop_instance_uid("sr"),
        instance_number=1,
        manufacturer=label.manufacturer,
        is_complete=True,
        is_verified=False,
        previous_versions=list(predecessors) or None,
        coding_schemes=concepts.coding_schemes(),
    )
    return finish(
        result,
        kind="sr",
        source=sources[0].header,
        identity=identity,
        label=label,
        algorithms=findings.algorithms,
    )


def _observers(label: SeriesLabel) -> ObservationContext:
    """The device that observed (TID 1004); its UID is that of this software in this version."""
    seed = f"{label.manufacturer} {label.model_name} {label.software_version} {label.device_serial}"
    device = DeviceObserverIdentifyingAttributes(
        uid=f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, seed).int}",
        name=label.model_name,
        manufacturer_name=label.manufacturer,
        model_name=f"{label.model_name} {label.software_version}",
        serial_number=label.device_serial,
    )
    return ObservationContext(
        observer_device_context=ObserverContext(
            observer_type=codes.DCM.Device, observer_identifying_attributes=device
        )
    )


def _insert_image_library(content: ContentSequence, references: Sequence[Dataset]) -> None:
    """Put the image library (TID 1600) before the measurements: one group, as all is one series.

    What is common to the series is said once for the group, so that a CT of a thousand slices keeps
    a small report.
    """
    first = references[0]
    group = ContainerContentItem(name=codes.DCM.ImageLibraryGroup, relationship_type=_CONTAINS)
    group.ContentSequence = ContentSequence()
    modality = _MODALITY.get(first.get("Modality", ""))
    context = RelationshipTypeValues.HAS_ACQ_CONTEXT
    if modality is not None:
        group.ContentSequence.append(
            CodeContentItem(name=codes.DCM.Modality, value=modality, relationship_type=context)
        )
    group.ContentSequence.append(
        CodeContentItem(name=codes.DCM.TargetRegion, value=concepts.CHEST, relationship_type=context)
    )
    if "FrameOfReferenceUID" in first:
        group.ContentSequence.append(
            UIDRefContentItem(
                name=codes.DCM.FrameOfReferenceUID,
                value=first.FrameOfReferenceUID,
                relationship_type=context,
            )
        )
    group.ContentSequence.extend(_library_entry(reference) for reference in references)
    library = ContainerContentItem(name=codes.DCM.ImageLibrary, relationship_type=_CONTAINS)
    library.ContentSequence = ContentSequence([group])
    content.insert(len(content) - 1, library)


def _library_entry(reference: Dataset) -> ImageContentItem:
    return ImageContentItem(
        name=codes.SCT.Source,
        referenced_sop_class_uid=reference.SOPClassUID,
        referenced_sop_instance_uid=reference.SOPInstanceUID,
        relationship_type=_CONTAINS,
    )


def _comments(
    findings: Findings, segmentation: Dataset | None, identity: Identity, texts: Texts
) -> list[str]:
    """Every remark with its code, and what has to be known of the segmentation to read the volumes."""
    comments = [f"{sentence(remark, texts)} [{remark.code}]" for remark in findings.remarks]
    if segmentation is None or findings.lungs is None:
        return comments
    present = {description.get("TrackingUID") for description in segmentation.SegmentSequence}
    missing = [what for what in SEGMENTS if identity.tracking_uid(what) not in present]
    if missing:
        names = ", ".join(texts(f"segment.{what}") for what in missing)
        comments.append(texts("sr.empty", segments=names))
    if segmentation.SegmentationType == "LABELMAP":
        comments.append(texts("sr.label_map"))
    return comments


def _evaluations(
    quality: Sequence[tuple[CodedConcept, CodedConcept]], summary: str, comments: Sequence[str]
) -> ContainerContentItem:
    """The container of TID 1500 for what is said of the whole series: quality, summary, each comment."""
    container = ContainerContentItem(name=concepts.QUALITATIVE, relationship_type=_CONTAINS)
    said = [(concepts.SUMMARY, summary), *((concepts.COMMENT, comment) for comment in comments)]
    container.ContentSequence = ContentSequence(
        [
            *(CodeContentItem(name=n, value=v, relationship_type=_CONTAINS) for n, v in quality),
            *(TextContentItem(name=n, value=t, relationship_type=_CONTAINS) for n, t in said),
        ]
    )
    return container


def _course(percent: float, history: Sequence[Earlier]) -> ContainerContentItem:
    """The container of TID 1500 for what several studies give: earlier percentages, each with the date
    of its study, and the change since the last of them."""
    items = []
    for earlier in sorted(history, key=lambda e: e.day):
        items.append(_dated(concepts.FINDINGS_PERCENT, earlier.percent, earlier.day))
    before = latest(history)
    items.append(_dated(concepts.PERCENT_CHANGE, percent - before.percent, before.day))
    container = ContainerContentItem(name=codes.DCM.DerivedImagingMeasurements, relationship_type=_CONTAINS)
    container.ContentSequence = ContentSequence(items)
    return container


def _dated(name: CodedConcept, percent: float, day: date) -> NumContentItem:
    item = NumContentItem(
        name=name, value=round(percent, 6), unit=concepts.PERCENT, relationship_type=_CONTAINS
    )
    study_date = DateContentItem(
        name=codes.DCM.StudyDate, value=day, relationship_type=RelationshipTypeValues.HAS_OBS_CONTEXT
    )
    item.ContentSequence = ContentSequence([study_date])
    return item
