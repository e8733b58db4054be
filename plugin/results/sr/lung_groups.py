"""The measurement groups of a CT's lungs: each lung, both, all opacities, each opacity with its outline."""

from __future__ import annotations

from typing import Any

from highdicom.sr import (
    AlgorithmIdentification,
    FindingSite,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)

from plugin.domain.findings import Algorithm, LungMeasurement, LungMeasurements
from plugin.results import concepts
from plugin.results.sr.context import (
    Context,
    Group,
    algorithm_item,
    lungs_outlined,
    number,
    outlined,
    presence,
    uncertainty,
)
from plugin.results.sr.regions import Opacity


def lung_groups(lungs: LungMeasurements, context: Context) -> list[Group]:
    """Each lung, the opacities together and both lungs, tied to their segments; then each opacity."""
    algorithm = algorithm_item(lungs.algorithm)
    groups: list[Group] = []
    for lung in (lungs.right, lungs.left):
        if lung.volume_ml > 0:
            groups += _lung(lung, algorithm_item(lungs.outlined_by), context)
        else:
            groups += _absent_lung(lung, lungs.outlined_by, context)
    groups += _opacities(lungs, algorithm, context)
    tracking = context.tracking("lungs", context.texts("segment.lungs"))
    both = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking,
        finding_type=concepts.BOTH_LUNGS,
        algorithm_id=algorithm,
        finding_sites=[FindingSite(concepts.BOTH_LUNGS)],
        measurements=_measured_together(lungs),
    )
    groups += [both, *lungs_outlined(tracking, context.both_lungs(), lungs.outlined_by, context)]
    for place, opacity in enumerate(context.regions.opacities, start=1):
        groups.append(_opacity(place, opacity, algorithm, context))
    return groups


def beside_groups(lungs: LungMeasurements, context: Context) -> list[Group]:
    """What a further segmenter marks in the same lungs, and how far its outlines are those of the first."""
    name = lungs.algorithm.name
    tracking = context.tracking(f"beside-{name}", context.texts("sr.beside", model=name))
    present = lungs.findings_ml > 0
    measured = [_findings_together(lungs), _percent_together(lungs)] if present else []
    if lungs.agreement is not None:
        measured.append(number(concepts.AGREEMENT, lungs.agreement, concepts.NO_UNITS))
    said = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking,
        finding_type=concepts.OPACITY,
        algorithm_id=algorithm_item(lungs.algorithm),
        finding_sites=[FindingSite(concepts.BOTH_LUNGS)],
        measurements=measured or None,
        qualitative_evaluations=presence(present),
    )
    return [said, *lungs_outlined(tracking, context.both_lungs(), lungs.outlined_by, context)]


def _lung(lung: LungMeasurement, algorithm: AlgorithmIdentification, context: Context) -> list[Group]:
    what = f"lung-{lung.side.value}"
    tracking = context.tracking(what, context.texts(f"segment.{what}"))
    site = [FindingSite(concepts.LUNG, laterality=concepts.LATERALITY[lung.side])]
    common: dict[str, Any] = {
        "finding_type": concepts.LUNG,
        "algorithm_id": algorithm,
        "finding_sites": site,
    }
    groups = [_tied(what, tracking, context, measurements=_measured(lung), **common)]
    outline = context.regions.lung.get(lung.side)
    if outline is not None:
        groups.append(outlined(tracking, outline, context, **common))
    return groups


def _absent_lung(lung: LungMeasurement, algorithm: Algorithm, context: Context) -> list[Group]:
    """A lung that was not found: absent, and without a volume."""
    what = f"lung-{lung.side.value}"
    tracking = context.tracking(what, context.texts(f"segment.{what}"))
    said = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking,
        finding_type=concepts.LUNG,
        algorithm_id=algorithm_item(algorithm),
        finding_sites=[FindingSite(concepts.LUNG, laterality=concepts.LATERALITY[lung.side])],
        qualitative_evaluations=presence(False),
    )
    return [said, *lungs_outlined(tracking, context.both_lungs(), algorithm, context)]


def _opacities(lungs: LungMeasurements, algorithm: AlgorithmIdentification, context: Context) -> list[Group]:
    """All opacities together: whether there are any, and where there are, how much and how many."""
    tracking = context.tracking("findings", context.texts("segment.findings"))
    present = lungs.findings_ml > 0
    measured = [_findings_together(lungs)] if present else []
    if context.regions.opacity_count:
        count = number(concepts.SEPARATE, context.regions.opacity_count, concepts.NO_UNITS)
        measured.append(count)
    said = _tied(
        "findings",
        tracking,
        context,
        finding_type=concepts.OPACITY,
        algorithm_id=algorithm,
        finding_sites=[FindingSite(concepts.BOTH_LUNGS)],
        measurements=measured or None,
        qualitative_evaluations=presence(present),
    )
    return [said, *lungs_outlined(tracking, context.both_lungs(), lungs.outlined_by, context)]


def _opacity(place: int, opacity: Opacity, algorithm: AlgorithmIdentification, context: Context) -> Group:
    words = context.texts(
        "sr.opacity", number=place, side=context.texts(f"segment.lung-{opacity.side.value}")
    )
    return outlined(
        context.tracking(f"opacity-{place}", words),
        opacity.outline,
        context,
        finding_type=concepts.OPACITY,
        algorithm_id=algorithm,
        finding_sites=[FindingSite(concepts.LUNG, laterality=concepts.LATERALITY[opacity.side])],
        measurements=[_volume(opacity.volume_ml)],
        qualitative_evaluations=presence(True),
    )


def _tied(what: str, tracking: TrackingIdentifier, context: Context, **said: Any) -> Group:
    """A group tied to its segment where there is one, else one that stands alone."""
    segment = context.segment(what)
    if segment is None:
        return MeasurementsAndQualitativeEvaluations(tracking_identifier=tracking, **said)
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking, referenced_segment=segment, **said
    )


def _volume(millilitres: float) -> Measurement:
    return number(concepts.VOLUME, millilitres, concepts.MILLILITRE, method=concepts.VOLUME_METHOD)


def _measured(lung: LungMeasurement) -> list[Measurement]:
    return [
        _volume(lung.volume_ml),
        number(concepts.FINDINGS_VOLUME, lung.findings_ml, concepts.MILLILITRE),
        number(concepts.FINDINGS_PERCENT, lung.percent, concepts.PERCENT),
    ]


def _measured_together(lungs: LungMeasurements) -> list[Measurement]:
    """By names of their own: viewers show a number by its name alone, beside the outline of one lung."""
    return [
        number(concepts.BOTH_VOLUME, lungs.volume_ml, concepts.MILLILITRE, method=concepts.VOLUME_METHOD),
        _percent_together(lungs),
    ]


def _findings_together(lungs: LungMeasurements) -> Measurement:
    """The findings of both lungs in mL, with their uncertainty where that was measured."""
    unit, drawn = concepts.MILLILITRE, lungs.drawn
    properties = None if drawn is None else uncertainty(lungs.findings_ml, drawn.findings_ml, unit)
    method = concepts.VOLUME_METHOD
    return number(concepts.BOTH_FINDINGS, lungs.findings_ml, unit, method=method, properties=properties)


def _percent_together(lungs: LungMeasurements) -> Measurement:
    """Their share of both lungs, likewise."""
    unit, drawn = concepts.PERCENT, lungs.drawn
    properties = None if drawn is None else uncertainty(lungs.percent, drawn.percent, unit)
    return number(concepts.BOTH_PERCENT, lungs.percent, unit, properties=properties)
