"""The measurement groups of the Structured Report: classifiers, lungs, findings.

DICOM PS3.16 TID 1501 (measurements and qualitative evaluations) and TID 1411 (volumetric region of
interest). Each has a twin with the same Tracking UID, TID 1410 (planar region of interest), that says
where on which image it is best seen: viewers that open the report show its numbers there, and OHIF up
to 3.13 shows nothing at all of a report in which one group has no coordinates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    FindingSite,
    GraphicTypeValues,
    ImageRegion,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    ReferencedSegment,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    SourceSeriesForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.dataset import Dataset

from plugin.domain.findings import (
    Algorithm,
    Classification,
    Findings,
    LungMeasurement,
    LungMeasurements,
)
from plugin.results import concepts
from plugin.results.identity import Identity
from plugin.results.sr.regions import KeyRegion, whole_image
from plugin.results.statement import rejected
from plugin.results.summary import meaning, noted, where
from plugin.results.texts import Texts

_REGIONS = ("lungs", "lung-right", "lung-left", "findings")

Group: TypeAlias = MeasurementsAndQualitativeEvaluations | VolumetricROIMeasurementsAndQualitativeEvaluations


@dataclass(frozen=True, kw_only=True)
class _Context:
    """What every group needs to know besides what it says."""

    identity: Identity
    texts: Texts
    references: Sequence[Dataset]
    segmentation: Dataset | None
    regions: Mapping[str, KeyRegion]

    def tracking(self, what: str, words: str) -> TrackingIdentifier:
        return TrackingIdentifier(uid=self.identity.tracking_uid(what), identifier=words)

    def segment(self, what: str) -> ReferencedSegment | None:
        """The segment with that tracking UID, or None where the segmentation lacks it."""
        wanted = self.identity.tracking_uid(what)
        if self.segmentation is None:
            return None
        for description in self.segmentation.SegmentSequence:
            if description.get("TrackingUID") == wanted:
                return ReferencedSegment(
                    sop_class_uid=self.segmentation.SOPClassUID,
                    sop_instance_uid=self.segmentation.SOPInstanceUID,
                    segment_number=description.SegmentNumber,
                    source_series=SourceSeriesForSegmentation(self.references[0].SeriesInstanceUID),
                )
        return None

    def shown(
        self, what: str, tracking: TrackingIdentifier, place: int = 0
    ) -> PlanarROIMeasurementsAndQualitativeEvaluations:
        """The twin of a group: the region where it is best seen, else an image as a whole.

        ``place`` tells apart what has no region, so that not all is shown at the same one.
        """
        region = self.regions.get(what)
        if region is not None:
            image = next(r for r in self.references if r.SOPInstanceUID == region.sop_instance_uid)
            outline = region.outline
        else:
            count = len(self.references)
            image = self.references[(count // 2 + place) % count]
            # A rejected series may lack its size: a pixel is still a place.
            size = image.get("Rows") or 1, image.get("Columns") or 1
            # Of a single image a frame within it, each smaller than the one before: viewers set the
            # numbers beside the frame, where there has to be room for them.
            outline = whole_image(*size, inset=0.2 + 0.05 * min(place, 4) if count == 1 else 0.0)
        return PlanarROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=tracking,
            referenced_region=ImageRegion(
                graphic_type=GraphicTypeValues.POLYLINE,
                graphic_data=outline,
                source_image=SourceImageForRegion(image.SOPClassUID, image.SOPInstanceUID),
            ),
        )


def all_groups(
    *,
    findings: Findings,
    references: Sequence[Dataset],
    identity: Identity,
    texts: Texts,
    segmentation: Dataset | None,
    regions: Mapping[str, KeyRegion],
) -> list[Group]:
    """Every measurement group of a report, in the order in which a reader wants them.

    Without anything measured (a rejected series) there is one group that says the quality.
    """
    context = _Context(
        identity=identity,
        texts=texts,
        references=references,
        segmentation=segmentation,
        regions=regions,
    )
    groups: list[Group] = []
    for place, classification in enumerate(findings.classifications):
        groups += _classifier(classification, place, context)
    if findings.lungs is not None:
        groups += _lung_groups(findings.lungs, context)
    if not groups:
        tracking = context.tracking("quality", texts("sr.quality"))
        grade = [QualitativeEvaluation(*evaluation) for evaluation in quality(findings)]
        said = MeasurementsAndQualitativeEvaluations(
            tracking_identifier=tracking, qualitative_evaluations=grade
        )
        groups += [said, context.shown("quality", tracking)]
    return groups


def quality(findings: Findings) -> list[tuple[CodedConcept, CodedConcept]]:
    """Whether the series could be read, and the code of every remark, as (concept, value)."""
    if rejected(findings):
        grade = concepts.UNUSABLE
    else:
        grade = concepts.DOUBTFUL if noted(findings) else concepts.USABLE
    remarks = [(concepts.REMARK, concepts.own(r.code, r.code)) for r in findings.remarks]
    return [(concepts.SERIES_QUALITY, grade), *remarks]


def algorithm_parameters(algorithm: Algorithm) -> dict[str, str]:
    """What identifies the very file that ran, and where it ran."""
    return {"sha256": algorithm.sha256, "provider": algorithm.provider}


def _algorithm(algorithm: Algorithm, **further: str) -> AlgorithmIdentification:
    parameters = algorithm_parameters(algorithm) | further
    return AlgorithmIdentification(
        name=algorithm.name,
        version=algorithm.version,
        parameters=[f"{key}={value}" for key, value in parameters.items()],
        family=concepts.ARTIFICIAL_INTELLIGENCE,
        manufacturer=algorithm.manufacturer,
    )


def number(name: CodedConcept, value: float, unit: CodedConcept, **further: Any) -> Measurement:
    """A measured number, to six decimals."""
    return Measurement(name=name, value=round(value, 6), unit=unit, **further)


def _classifier(classification: Classification, place: int, context: _Context) -> list[Group]:
    """One classifier: the probability of each class, the operating point, and what was called.

    The finding's own probability has the standard's concept; that of the other classes is told apart
    by concepts of our scheme, as one group can hold "Probability" only once without ambiguity.
    """
    finding = classification.finding
    probabilities = [
        number(concepts.PROBABILITY, finding.probability, concepts.NO_UNITS),
        number(concepts.OPERATING_POINT, finding.threshold, concepts.NO_UNITS),
    ]
    for other in classification.others:
        name = concepts.own(f"P_{other.name}", f"Probability of {other.name}")
        probabilities.append(number(name, other.probability, concepts.NO_UNITS))
    called = next(c for c in classification.classes if c.name == classification.called)
    projection = classification.projection or "xray"
    thresholds = {f"threshold {c.name}": f"{c.threshold:g}" for c in classification.classes}
    tracking = context.tracking(
        f"classifier-{classification.algorithm.name}-{projection}",
        context.texts(
            "sr.classifier",
            meaning=meaning(finding.meaning, context.texts),
            where=where(classification, context.texts),
            model=classification.algorithm.name,
        ),
    )
    image = context.references[0] if classification.projection is None else None
    said = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking,
        finding_type=concepts.class_concept(finding.name, finding.meaning, finding.code),
        algorithm_id=_algorithm(classification.algorithm, projection=projection, **thresholds),
        finding_sites=[FindingSite(concepts.LUNG)],
        measurements=probabilities,
        qualitative_evaluations=[
            QualitativeEvaluation(
                concepts.PRESENCE,
                concepts.PRESENT if classification.positive else concepts.ABSENT,
            ),
            QualitativeEvaluation(
                concepts.CALLED, concepts.class_concept(called.name, called.meaning, called.code)
            ),
        ],
        source_images=[SourceImageForMeasurementGroup(image.SOPClassUID, image.SOPInstanceUID)]
        if image
        else None,
    )
    return [said, context.shown(f"classifier-{place}", tracking, place)]


def _lung_groups(lungs: LungMeasurements, context: _Context) -> list[Group]:
    """Each lung and the findings, tied to their segments, and both lungs together."""
    algorithm = _algorithm(lungs.algorithm)
    groups: list[Group] = []
    for lung in (lungs.right, lungs.left):
        groups += _region(
            f"lung-{lung.side.value}",
            context,
            finding_type=concepts.LUNG,
            algorithm_id=algorithm,
            finding_sites=[FindingSite(concepts.LUNG, laterality=concepts.LATERALITY[lung.side])],
            measurements=_measured(lung),
        )
    both = {"algorithm_id": algorithm, "finding_sites": [FindingSite(concepts.BOTH_LUNGS)]}
    groups += _region(
        "findings",
        context,
        finding_type=concepts.OPACITY,
        measurements=[_volume(lungs.findings_ml)],
        **both,
    )
    groups += _region(
        "lungs", context, finding_type=concepts.BOTH_LUNGS, measurements=_measured(lungs), **both
    )
    return groups


def _region(what: str, context: _Context, **said: Any) -> list[Group]:
    """A group tied to its segment where there is one, else one that stands alone; and its twin."""
    tracking = context.tracking(what, context.texts(f"segment.{what}"))
    segment = context.segment(what)
    if segment is None:
        group = MeasurementsAndQualitativeEvaluations(tracking_identifier=tracking, **said)
    else:
        group = VolumetricROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=tracking, referenced_segment=segment, **said
        )
    return [group, context.shown(what, tracking, -1 - _REGIONS.index(what))]


def _volume(millilitres: float) -> Measurement:
    return number(concepts.VOLUME, millilitres, concepts.MILLILITRE, method=concepts.VOLUME_METHOD)


def _measured(lungs: LungMeasurement | LungMeasurements) -> list[Measurement]:
    return [
        _volume(lungs.volume_ml),
        number(concepts.FINDINGS_VOLUME, lungs.findings_ml, concepts.MILLILITRE),
        number(concepts.FINDINGS_PERCENT, lungs.percent, concepts.PERCENT),
    ]
