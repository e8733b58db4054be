"""The Structured Report: TID 1500 "Imaging Measurement Report" as a Comprehensive or Comprehensive 3D SR.

DICOM PS3.3 Sections A.35.3 and A.35.13, PS3.16 TID 1500. It is the root of all results of a reading: it
names the segmentation, the PDF, the attention map and the key images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

from highdicom.sr import (
    CodeContentItem,
    CodedConcept,
    CompositeContentItem,
    Comprehensive3DSR,
    ComprehensiveSR,
    ContainerContentItem,
    ImageContentItem,
    LanguageOfContentItemAndDescendants,
    MeasurementReport,
    ObservationContext,
    RelationshipTypeValues,
    TextContentItem,
)
from highdicom.sr.value_types import ContentSequence
from pydicom.dataset import Dataset

from plugin.dicom import body_parts
from plugin.dicom.imaging import Instance
from plugin.domain.findings import Findings
from plugin.results import beside, concepts
from plugin.results.common import SeriesLabel, finish, reference_header
from plugin.results.identity import Identity
from plugin.results.request import referenced_requests
from plugin.results.seg.segmentation import SEGMENTS
from plugin.results.sr import groups
from plugin.results.sr.course import cited_reports, course
from plugin.results.sr.library import insert_image_library
from plugin.results.sr.observer import device
from plugin.results.sr.regions import NOWHERE, Regions
from plugin.results.statement import rejected
from plugin.results.summary import Earlier, noted, sentence, summarise
from plugin.results.texts import Texts

_CONTAINS = RelationshipTypeValues.CONTAINS
_DOCUMENTS = {"pdf", "key_images"}
"""The results that are no images."""

ReportType = Literal["COMPREHENSIVE", "COMPREHENSIVE_3D"]
"""SOP Class of the report: the one that most programs read, or the one that IHE AI Results asks for."""


class _PatientFollows:
    """:func:`finish` writes patient and study, whatever the source is. highdicom would look up which of their
    attributes a source has by its SOP Class, and fails at one that the standard does not have."""

    def copy_patient_and_study_information(self, dataset: Dataset) -> None:
        """Copy nothing."""


class _Comprehensive(_PatientFollows, ComprehensiveSR):  # type: ignore[misc]
    pass


class _Comprehensive3D(_PatientFollows, Comprehensive3DSR):  # type: ignore[misc]
    pass


_CLASSES: dict[str, Any] = {"COMPREHENSIVE": _Comprehensive, "COMPREHENSIVE_3D": _Comprehensive3D}


def build_sr(
    *,
    findings: Findings,
    sources: Sequence[Instance],
    identity: Identity,
    label: SeriesLabel,
    related: Mapping[str, Dataset] = MappingProxyType({}),
    regions: Regions = NOWHERE,
    history: Sequence[Earlier] = (),
    predecessors: Sequence[Dataset] = (),
    report_type: ReportType = "COMPREHENSIVE",
) -> Dataset:
    """The Structured Report of one series; of a rejected one, a note of why it was not read.

    ``sources`` are the instances that were read (at least one, of one series); ``related`` the other results
    of this reading by their kind, among them the ``seg`` to whose segments the volumes are tied;
    ``regions`` the outlines to be drawn. ``history`` are earlier results of the same patient,
    ``predecessors`` earlier SRs that this one replaces: datasets with SOP Class, SOP Instance, Series and
    Study Instance UID. Raises ValueError where there are no sources.
    """
    if not sources:
        raise ValueError("a report needs at least one source instance")
    references = [reference_header(instance.header) for instance in sources]
    segmentation = related.get("seg")
    measured = groups.all_groups(
        findings=findings,
        references=references,
        identity=identity,
        label=label,
        segmentation=segmentation,
        regions=regions,
    )
    report = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=device(label)),
        procedure_reported=_procedure(findings),
        imaging_measurements=measured,
        language_of_content_item_and_descendants=LanguageOfContentItemAndDescendants(
            concepts.LANGUAGE[label.language]
        ),
    )
    source = sources[0].header
    content = report[0].ContentSequence
    insert_image_library(content, references, of_chest=_of_chest(findings, source))
    content.extend(_named(related))
    cited = history if findings.lungs is not None else ()
    if cited and findings.lungs is not None:
        content.append(course(findings.lungs.percent, cited))
    content.append(
        _evaluations(
            groups.analyses(findings),
            summarise(findings, label.texts, history),
            [
                *_comments(findings, segmentation, identity, label.texts),
                *_of_regions(findings, regions, label.texts),
            ],
        )
    )
    result: Dataset = _CLASSES[report_type](
        evidence=[*references, *related.values(), *cited_reports(cited)],
        content=report,
        series_instance_uid=identity.series_instance_uid("sr"),
        series_number=label.numbers["sr"],
        sop_instance_uid=identity.sop_instance_uid("sr"),
        instance_number=1,
        manufacturer=label.manufacturer,
        is_complete=True,
        is_verified=False,
        requested_procedures=referenced_requests(source) or None,
        previous_versions=list(predecessors) or None,
        coding_schemes=concepts.coding_schemes(),
    )
    finish(
        result,
        kind="sr",
        source=source,
        identity=identity,
        label=label,
        algorithms=findings.algorithms,
    )
    if rejected(findings):
        result.SeriesDescription = label.series_description("rejection")
    return result


def _procedure(findings: Findings) -> CodedConcept:
    """The imaging procedure: of the chest where that was read, else only of which kind it is."""
    known = concepts.PROCEDURE_OF_ANY_REGION if rejected(findings) else concepts.PROCEDURE
    return known[findings.modality]


def _of_chest(findings: Findings, source: Dataset) -> bool:
    """Whether the images are known to show the chest: they were read, or their header says so."""
    named = body_parts.region_of(body_parts.body_part(source))
    return not rejected(findings) or named is body_parts.Region.CHEST


def _named(related: Mapping[str, Dataset]) -> Iterator[ImageContentItem | CompositeContentItem]:
    """The other results of this reading."""
    for kind, result in related.items():
        item = CompositeContentItem if kind in _DOCUMENTS else ImageContentItem
        yield item(
            name=concepts.RELATED[kind],
            referenced_sop_class_uid=result.SOPClassUID,
            referenced_sop_instance_uid=result.SOPInstanceUID,
            relationship_type=_CONTAINS,
        )


def _comments(
    findings: Findings, segmentation: Dataset | None, identity: Identity, texts: Texts
) -> list[str]:
    """The remarks that the summary does not make, and what to know of the segmentation and its volumes."""
    comments = [] if rejected(findings) else [sentence(remark, texts) for remark in noted(findings)]
    if findings.lungs is not None:
        comments += [" ".join(beside.sentences(lungs, findings.lungs, texts)) for lungs in findings.beside]
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


def _of_regions(findings: Findings, regions: Regions, texts: Texts) -> Iterator[str]:
    """What the outlines of an X-ray are, where there are any."""
    said = findings.classifications
    if regions.evidence and said and said[0].positive:
        yield texts("sr.regions", model=said[0].algorithm.name)


def _evaluations(
    coded: Sequence[tuple[CodedConcept, CodedConcept]], summary: str, comments: Sequence[str]
) -> ContainerContentItem:
    """The container of TID 1500 for what is said of the whole series: codes, summary, each comment."""
    container = ContainerContentItem(name=concepts.QUALITATIVE, relationship_type=_CONTAINS)
    said = [(concepts.SUMMARY, summary), *((concepts.COMMENT, comment) for comment in comments)]
    container.ContentSequence = ContentSequence(
        [
            *(CodeContentItem(name=n, value=v, relationship_type=_CONTAINS) for n, v in coded),
            *(TextContentItem(name=n, value=t, relationship_type=_CONTAINS) for n, t in said),
        ]
    )
    return container
