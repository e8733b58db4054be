"""The measurement groups of the Structured Report: quality, classifiers, lungs, course over time.

DICOM PS3.16 TID 1501 (measurements and qualitative evaluations) and TID 1411 (volumetric region of
interest). Every group has a Tracking UID: viewers need one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    FindingSite,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    ReferencedSegment,
    SourceImageForMeasurementGroup,
    SourceSeriesForSegmentation,
    TimePointContext,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.dataset import Dataset

from plugin.results import concepts
from plugin.results.findings import (
    Algorithm,
    Classification,
    Findings,
    LungMeasurement,
    LungMeasurements,
)
from plugin.results.identity import Identity
from plugin.results.summary import Earlier, latest, meaning, noted, rejected, where
from plugin.results.texts import Texts

Group: TypeAlias = MeasurementsAndQualitativeEvaluations | VolumetricROIMeasurementsAndQualitativeEvaluations


@dataclass(frozen=True, kw_only=True)
class _Context:
    """What every group needs to know besides what it says."""

    identity: Identity
    texts: Texts
    source_series: str
    segmentation: Dataset | None

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
                    source_series=SourceSeriesForSegmentation(self.source_series),
                )
        return None


def all_groups(
    *,
    findings: Findings,
    references: Sequence[Dataset],
    identity: Identity,
    texts: Texts,
    segmentation: Dataset | None,
    history: Sequence[Earlier],
) -> list[Group]:
    """Every measurement group of a report, in the order in which a reader wants them."""
    context = _Context(
        identity=identity,
        texts=texts,
        source_series=references[0].SeriesInstanceUID,
        segmentation=segmentation,
    )
    groups: list[Group] = []
    for classification in findings.classifications:
        image = references[0] if findings.modality == "xray" else None
        groups.append(_classifier(classification, image, context))
    if findings.lungs is not None:
        groups += _lung_groups(findings.lungs, context)
        groups += _course(findings.lungs, history, context)
    groups.append(_quality(findings, context))
    return groups


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


def _number(name: CodedConcept, value: float, unit: CodedConcept, **further: Any) -> Measurement:
    return Measurement(name=name, value=round(value, 6), unit=unit, **further)


def _classifier(
    classification: Classification, image: Dataset | None, context: _Context
) -> MeasurementsAndQualitativeEvaluations:
    """One classifier: the probability of each class, the operating point, and what was called.

    The finding's own probability has the standard's concept; that of the other classes is told apart
    by concepts of our scheme, as one group can hold "Probability" only once without ambiguity.
    """
    finding = classification.finding
    probabilities = [
        _number(concepts.PROBABILITY, finding.probability, concepts.NO_UNITS),
        _number(concepts.OPERATING_POINT, finding.threshold, concepts.NO_UNITS),
    ]
    for other in classification.others:
        name = concepts.own(f"P_{other.name}", f"Probability of {other.name}")
        probabilities.append(_number(name, other.probability, concepts.NO_UNITS))
    called = next(c for c in classification.classes if c.name == classification.called)
    projection = classification.projection or "xray"
    thresholds = {f"threshold {c.name}": f"{c.threshold:g}" for c in classification.classes}
    sites = [FindingSite(concepts.LUNG)]
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=context.tracking(
            f"classifier-{classification.algorithm.name}-{projection}",
            context.texts(
                "sr.classifier",
                meaning=meaning(finding.meaning, context.texts),
                where=where(classification, context.texts),
                model=classification.algorithm.name,
            ),
        ),
        finding_type=concepts.class_concept(finding.name, finding.meaning, finding.code),
        algorithm_id=_algorithm(classification.algorithm, projection=projection, **thresholds),
        finding_sites=sites,
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
        source_images=[SourceImageForMeasurementGroup.from_source_image(image)] if image else None,
    )


def _lung_groups(lungs: LungMeasurements, context: _Context) -> list[Group]:
    algorithm = _algorithm(lungs.algorithm)
    groups = [_lung(lung, algorithm, context) for lung in (lungs.right, lungs.left)]
    groups.append(
        _region(
            "findings",
            context,
            finding_type=concepts.OPACITY,
            algorithm_id=algorithm,
            finding_sites=[FindingSite(concepts.BOTH_LUNGS)],
            measurements=[_volume(lungs.findings_ml)],
        )
    )
    groups.append(
        MeasurementsAndQualitativeEvaluations(
            tracking_identifier=context.tracking("lungs", context.texts("segment.both")),
            finding_type=concepts.BOTH_LUNGS,
            algorithm_id=algorithm,
            finding_sites=[FindingSite(concepts.BOTH_LUNGS)],
            measurements=_measured(lungs.volume_ml, lungs.findings_ml, lungs.percent),
        )
    )
    return groups


def _lung(lung: LungMeasurement, algorithm: AlgorithmIdentification, context: _Context) -> Group:
    return _region(
        f"lung-{lung.side.value}",
        context,
        finding_type=concepts.LUNG,
        algorithm_id=algorithm,
        finding_sites=[FindingSite(concepts.LUNG, laterality=concepts.LATERALITY[lung.side])],
        measurements=_measured(lung.volume_ml, lung.findings_ml, lung.percent),
    )


def _region(what: str, context: _Context, **said: Any) -> Group:
    """A group tied to its segment where there is one, else one that stands alone."""
    tracking = context.tracking(what, context.texts(f"segment.{what}"))
    segment = context.segment(what)
    if segment is None:
        return MeasurementsAndQualitativeEvaluations(tracking_identifier=tracking, **said)
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking, referenced_segment=segment, **said
    )


def _volume(millilitres: float) -> Measurement:
    return _number(concepts.VOLUME, millilitres, concepts.MILLILITRE, method=concepts.VOLUME_METHOD)


def _measured(volume_ml: float, findings_ml: float, percent: float) -> list[Measurement]:
    return [
        _volume(volume_ml),
        _number(concepts.FINDINGS_VOLUME, findings_ml, concepts.MILLILITRE),
        _number(concepts.FINDINGS_PERCENT, percent, concepts.PERCENT),
    ]


def _course(
    lungs: LungMeasurements, history: Sequence[Earlier], context: _Context
) -> list[MeasurementsAndQualitativeEvaluations]:
    """Earlier results, each with its own time point, and the change since the last of them."""
    groups = []
    for earlier in sorted(history, key=lambda e: e.day):
        day = context.texts.date(earlier.day)
        groups.append(
            MeasurementsAndQualitativeEvaluations(
                tracking_identifier=context.tracking(
                    f"course-{day}-{earlier.percent:.6f}", context.texts("sr.course", date=day)
                ),
                time_point_context=TimePointContext(time_point=day),
                finding_type=concepts.BOTH_LUNGS,
                measurements=[_number(concepts.FINDINGS_PERCENT, earlier.percent, concepts.PERCENT)],
            )
        )
    if history:
        before = latest(history)
        words = context.texts("sr.change", date=context.texts.date(before.day))
        change = lungs.percent - before.percent
        groups.append(
            MeasurementsAndQualitativeEvaluations(
                tracking_identifier=context.tracking("course-change", words),
                finding_type=concepts.BOTH_LUNGS,
                measurements=[_number(concepts.PERCENT_CHANGE, change, concepts.PERCENT)],
            )
        )
    return groups


def _quality(findings: Findings, context: _Context) -> MeasurementsAndQualitativeEvaluations:
    """Whether the series could be read, and the code of every remark."""
    if rejected(findings):
        grade = concepts.UNUSABLE
    else:
        grade = concepts.DOUBTFUL if noted(findings) else concepts.USABLE
    evaluations = [QualitativeEvaluation(concepts.SERIES_QUALITY, grade)]
    evaluations += [
        QualitativeEvaluation(concepts.REMARK, concepts.own(remark.code, remark.code))
        for remark in findings.remarks
    ]
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=context.tracking("quality", context.texts("sr.quality")),
        qualitative_evaluations=evaluations,
    )
