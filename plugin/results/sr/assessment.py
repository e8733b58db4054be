"""A physician's word on a reading, as a Structured Report of its own.

IHE's AI Result Assessment for Imaging (AIRAI, for trial implementation in 2025) says accept, modify and
reject. Its codes are not published where they could be read, so this is the closest that the standard has:
DICOM PS3.16 TID 1500 with a person as the observer (TID 1003), and the decision as a qualitative
evaluation (TID 1501), whose concepts are of our own scheme. The report that is assessed is never changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from highdicom.sr import (
    CodedConcept,
    CompositeContentItem,
    ComprehensiveSR,
    ContainerContentItem,
    LanguageOfContentItemAndDescendants,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    PersonObserverIdentifyingAttributes,
    QualitativeEvaluation,
    RelationshipTypeValues,
    TextContentItem,
    TrackingIdentifier,
)
from highdicom.sr.value_types import ContentSequence
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from plugin.domain.assessment import Decision
from plugin.domain.codes import Code
from plugin.results import concepts
from plugin.results.cleaning import cleaned
from plugin.results.common import PRODUCT, SeriesLabel, date_in, name_file, source_identity
from plugin.results.request import referenced_requests

_CONTAINS = RelationshipTypeValues.CONTAINS

ASSESSED = concepts.own("Assessed result", "Result that is assessed")
ASSESSMENT = concepts.own("Assessment", "Physician's assessment of the result")
CORRECTED = concepts.own("Corrected class", "Class that the physician finds")
DECISIONS = {
    Decision.ACCEPT: concepts.own("Accepted", "Accepted"),
    Decision.MODIFY: concepts.own("Modified", "Modified"),
    Decision.REJECT: concepts.own("Rejected", "Rejected"),
}

STATION = f"{PRODUCT} reading room"
"""Manufacturer's Model Name of these reports. The software clears its own results away; these are not."""


@dataclass(frozen=True, kw_only=True)
class Correction:
    """The class that it should have been: what it means, and its code where the card has one."""

    meaning: str
    code: Code | None = None


@dataclass(frozen=True, kw_only=True)
class Observer:
    """Who gives the word: name as DICOM writes it (``Silva^Ana``) and organization.

    ``verified``: whether it is known that it was this person; only then is the document VERIFIED.
    """

    name: str
    organization: str
    verified: bool


def build_assessment(
    *,
    report: Dataset,
    decision: Decision,
    observer: Observer,
    moment: datetime,
    label: SeriesLabel,
    series_number: int,
    correction: Correction | None = None,
    text: str = "",
    made_by: str = "",
    predecessors: Sequence[Dataset] = (),
) -> Dataset:
    """The word on ``report``, a Structured Report of this plugin, given at ``moment``.

    ``made_by``: software and networks of the report with their versions. ``predecessors``: earlier words
    that this one replaces, as datasets with SOP Class, SOP Instance, Series and Study Instance UID.
    """
    name = cleaned("PN", observer.name)
    name = name if "^" in name else f"{name}^"  # a user's name is all in one component
    organization = cleaned("LO", observer.organization) or label.texts("assessment.no_organization")
    content = MeasurementReport(
        observation_context=ObservationContext(
            observer_person_context=ObserverContext(
                observer_type=codes.DCM.Person,
                observer_identifying_attributes=PersonObserverIdentifyingAttributes(
                    name=name, organization_name=organization
                ),
            )
        ),
        procedure_reported=_procedure(report),
        imaging_measurements=[_evaluations(decision, correction, label)],
        language_of_content_item_and_descendants=LanguageOfContentItemAndDescendants(
            concepts.LANGUAGE[label.language]
        ),
    )
    content[0].ContentSequence.extend([_reference(report), *_comments(text, made_by, label)])
    result: Dataset = ComprehensiveSR(
        evidence=[report],
        content=content,
        series_instance_uid=generate_uid(None),
        series_number=series_number,
        sop_instance_uid=generate_uid(None),
        instance_number=1,
        manufacturer=PRODUCT,
        is_complete=True,
        is_verified=observer.verified,
        verifying_observer_name=name if observer.verified else None,
        verifying_organization=organization if observer.verified else None,
        requested_procedures=referenced_requests(report) or None,
        previous_versions=list(predecessors) or None,
        coding_schemes=concepts.coding_schemes(),
    )
    return _finish(result, report, label, moment)


def _evaluations(
    decision: Decision, correction: Correction | None, label: SeriesLabel
) -> MeasurementsAndQualitativeEvaluations:
    """The decision and the class that the physician finds, as a group of TID 1501."""
    evaluations = [QualitativeEvaluation(ASSESSMENT, DECISIONS[decision])]
    if correction is not None:
        value = concepts.class_concept(correction.meaning, correction.code)
        evaluations.append(QualitativeEvaluation(CORRECTED, value))
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=generate_uid(None), identifier=label.texts("series.assessment")
        ),
        qualitative_evaluations=evaluations,
    )


def _comments(text: str, made_by: str, label: SeriesLabel) -> Iterator[ContainerContentItem]:
    """The container of TID 1500 for what is said in words; none where nothing is."""
    words = [text] if text else []
    if made_by:
        words.append(label.texts("assessment.of", made_by=made_by))
    if not words:
        return
    container = ContainerContentItem(name=concepts.QUALITATIVE, relationship_type=_CONTAINS)
    container.ContentSequence = ContentSequence(
        [TextContentItem(name=concepts.COMMENT, value=said, relationship_type=_CONTAINS) for said in words]
    )
    yield container


def _procedure(report: Dataset) -> CodedConcept:
    """The procedure that the assessed report names (121058, DCM). Raises ValueError where it names none."""
    for item in report.get("ContentSequence", ()):
        names = item.get("ConceptNameCodeSequence")
        if names and names[0].get("CodeValue") == "121058":
            value = item.ConceptCodeSequence[0]
            return CodedConcept(value.CodeValue, value.CodingSchemeDesignator, value.CodeMeaning)
    raise ValueError("the report names no procedure")


def _reference(report: Dataset) -> CompositeContentItem:
    return CompositeContentItem(
        name=ASSESSED,
        referenced_sop_class_uid=report.SOPClassUID,
        referenced_sop_instance_uid=report.SOPInstanceUID,
        relationship_type=_CONTAINS,
    )


def _finish(result: Dataset, report: Dataset, label: SeriesLabel, moment: datetime) -> Dataset:
    """Patient and study of the assessed report, the series' labels, the station, the time."""
    patient = source_identity(report)
    for element in patient:
        result[element.tag] = element
    result.SeriesDescription = label.series_description("assessment")
    result.ManufacturerModelName = STATION
    result.SoftwareVersions = label.software_version
    if label.institution:
        result.InstitutionName = cleaned("LO", label.institution)
    local = date_in(result, moment, patient)
    for verifier in result.get("VerifyingObserverSequence", ()):
        verifier.VerificationDateTime = local.strftime("%Y%m%d%H%M%S")
    name_file(result)
    return result
