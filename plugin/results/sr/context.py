"""What the measurement groups are made of: algorithm, presence, outline, and the context they share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    FindingSite,
    GraphicTypeValues,
    ImageRegion,
    Measurement,
    MeasurementProperties,
    MeasurementsAndQualitativeEvaluations,
    NumContentItem,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    ReferencedSegment,
    RelationshipTypeValues,
    SourceImageForRegion,
    SourceSeriesForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.dataset import Dataset

from plugin.domain.findings import Algorithm
from plugin.results import concepts
from plugin.results.common import SeriesLabel
from plugin.results.identity import Identity
from plugin.results.provenance import in_words, parameters
from plugin.results.sr.regions import Outline, Regions
from plugin.results.texts import Texts

Group: TypeAlias = (
    MeasurementsAndQualitativeEvaluations
    | PlanarROIMeasurementsAndQualitativeEvaluations
    | VolumetricROIMeasurementsAndQualitativeEvaluations
)


@dataclass(frozen=True, kw_only=True)
class Context:
    """What every group needs to know."""

    identity: Identity
    label: SeriesLabel
    references: Sequence[Dataset]
    segmentation: Dataset | None
    regions: Regions
    _of_both: Iterator[tuple[Outline, ...]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_of_both", iter(self.regions.lungs))

    @property
    def texts(self) -> Texts:
        return self.label.texts

    def both_lungs(self) -> tuple[Outline, ...]:
        """The outlines of both lungs on a slice of its own for each statement about both."""
        return next(self._of_both, self.regions.lungs[-1] if self.regions.lungs else ())

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

    def image(self, outline: Outline) -> ImageRegion:
        image = next(r for r in self.references if r.SOPInstanceUID == outline.sop_instance_uid)
        return ImageRegion(
            graphic_type=GraphicTypeValues.POLYLINE,
            graphic_data=outline.points,
            source_image=SourceImageForRegion(image.SOPClassUID, image.SOPInstanceUID),
        )


def number(name: CodedConcept, value: float, unit: CodedConcept, **further: Any) -> Measurement:
    """A measured number, to six decimals."""
    return Measurement(name=name, value=round(value, 6), unit=unit, **further)


def uncertainty(value: float, interval: tuple[float, float], unit: CodedConcept) -> MeasurementProperties:
    """How far the truth may lie above and below a measured number (DICOM PS3.16 TID 310 row 5, CID 225).

    Both are distances from the number, in its unit. highdicom writes those it is given without a unit.
    """
    distances = (
        (concepts.UPPER_UNCERTAINTY, interval[1] - value),
        (concepts.LOWER_UNCERTAINTY, value - interval[0]),
    )
    properties = MeasurementProperties()
    for name, distance in distances:
        item = NumContentItem(
            name=name,
            value=round(distance, 6),
            unit=unit,
            relationship_type=RelationshipTypeValues.HAS_PROPERTIES,
        )
        properties.append(item)
    return properties


def presence(present: bool) -> list[QualitativeEvaluation]:
    return [QualitativeEvaluation(concepts.PRESENCE, concepts.PRESENT if present else concepts.ABSENT)]


def algorithm_item(algorithm: Algorithm, **further: str) -> AlgorithmIdentification:
    return AlgorithmIdentification(
        name=algorithm.name,
        version=algorithm.version,
        parameters=[in_words(parameters(algorithm) | further)],
        family=concepts.ARTIFICIAL_INTELLIGENCE,
        manufacturer=algorithm.manufacturer,
    )


def outlined(
    tracking: TrackingIdentifier, outline: Outline, context: Context, **said: Any
) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking, referenced_region=context.image(outline), **said
    )


def lungs_outlined(
    tracking: TrackingIdentifier, outlines: Iterable[Outline], algorithm: Algorithm, context: Context
) -> list[Group]:
    """The outlines of both lungs, by the network that drew them, for what is said of both."""
    return [
        outlined(
            tracking,
            outline,
            context,
            finding_type=concepts.LUNG,
            algorithm_id=algorithm_item(algorithm),
            finding_sites=[FindingSite(concepts.BOTH_LUNGS)],
        )
        for outline in outlines
    ]
