"""The measurement groups of the Structured Report: classifiers, lungs, opacities, or why there are none.

DICOM PS3.16 TID 1501 (measurements and qualitative evaluations) and TID 1411 (volumetric region of
interest, tied to its segment). Outlines are in groups of TID 1410 (planar region of interest): each
separate opacity is one, with its volume; what is said of a lung or of both has its outlines in groups with
the same Tracking UID. OHIF up to 3.13 shows nothing at all of a report in which one group has no
coordinates: on a CT whose lungs were segmented every group has some, elsewhere none are made up for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    FindingSite,
    MeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset

from plugin.domain.findings import Algorithm, Classification, Findings, LungMeasurements
from plugin.results import concepts
from plugin.results.common import SeriesLabel
from plugin.results.identity import Identity
from plugin.results.sr.context import (
    Context,
    Group,
    algorithm_item,
    lungs_outlined,
    number,
    outlined,
    presence,
)
from plugin.results.sr.lung_groups import beside_groups, lung_groups
from plugin.results.sr.regions import Regions
from plugin.results.statement import rejected
from plugin.results.summary import meaning, where


def all_groups(
    *,
    findings: Findings,
    references: Sequence[Dataset],
    identity: Identity,
    label: SeriesLabel,
    segmentation: Dataset | None,
    regions: Regions,
) -> list[Group]:
    """Every measurement group of a report, in the order in which a reader wants them.

    Of a rejected series there is one group: that it was not analysed, why, and by which network or rule.
    """
    context = Context(
        identity=identity, label=label, references=references, segmentation=segmentation, regions=regions
    )
    if rejected(findings):
        return [_rejection(findings, context)]
    groups: list[Group] = []
    if findings.joined is not None:
        groups += _classifier(findings.joined, findings.lungs, context, first=False)
    for place, classification in enumerate(findings.classifications):
        groups += _classifier(classification, findings.lungs, context, first=place == 0)
    if findings.lungs is not None:
        groups += lung_groups(findings.lungs, context)
        for lungs in findings.beside:
            groups += beside_groups(lungs, context)
    if not groups:
        tracking = context.tracking("analysis", context.texts("sr.analysis"))
        evaluations = _evaluations(analyses(findings))
        groups.append(
            MeasurementsAndQualitativeEvaluations(
                tracking_identifier=tracking, qualitative_evaluations=evaluations
            )
        )
    return groups


def analyses(findings: Findings) -> list[tuple[CodedConcept, CodedConcept]]:
    """Whether the series was analysed, and what each remark is about, as (concept, value)."""
    outcome = concepts.NOT_ATTEMPTED if rejected(findings) else concepts.SUCCEEDED
    codes = dict.fromkeys(remark.code for remark in findings.remarks)
    return [(concepts.ANALYSES, outcome), *((concepts.REMARK, concepts.remark(code)) for code in codes)]


def _evaluations(said: Iterable[tuple[CodedConcept, CodedConcept]]) -> list[QualitativeEvaluation]:
    return [QualitativeEvaluation(concept, value) for concept, value in said]


def _rejection(findings: Findings, context: Context) -> Group:
    """Not analysed: by the network that screened the series, or by the rules for headers and pixels."""
    label = context.label
    if findings.screening is not None:
        algorithm = algorithm_item(findings.screening)
    else:
        algorithm = AlgorithmIdentification(
            name=f"{label.model_name} screening rules",
            version=label.software_version,
            manufacturer=label.manufacturer,
        )
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=context.tracking("rejection", context.texts("sr.rejection")),
        algorithm_id=algorithm,
        qualitative_evaluations=_evaluations(analyses(findings)),
        source_images=_only_image(context),
    )


def _only_image(context: Context) -> list[SourceImageForMeasurementGroup] | None:
    """The image where the series has one; the images of a longer series are in the image library."""
    if len(context.references) != 1:
        return None
    image = context.references[0]
    return [SourceImageForMeasurementGroup(image.SOPClassUID, image.SOPInstanceUID)]


def _classifier(
    classification: Classification, lungs: LungMeasurements | None, context: Context, *, first: bool
) -> list[Group]:
    """One classifier: the finding's probability, the operating point, and whether it was called.

    Of a CT the outlines of the lungs that it judges follow; of an X-ray those of where the first classifier
    sees its finding, where it calls it and the regions have any.
    """
    finding, name = classification.finding, classification.algorithm.name
    projection = classification.projection or "xray"
    tracking = context.tracking(
        f"classifier-{name}-{projection}",
        context.texts(
            "sr.classifier",
            meaning=meaning(finding.meaning, context.texts),
            where=where(classification, context.texts),
            model=name,
        ),
    )
    concept = concepts.class_concept(finding.meaning, finding.code)
    algorithm = algorithm_item(classification.algorithm, projection=projection)
    said = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking,
        finding_type=concept,
        algorithm_id=algorithm,
        finding_sites=[FindingSite(concepts.LUNG)],
        measurements=[
            number(concepts.PROBABILITY, finding.probability, concepts.NO_UNITS),
            number(concepts.OPERATING_POINT, finding.threshold, concepts.NO_UNITS),
        ],
        qualitative_evaluations=presence(classification.positive),
        source_images=_only_image(context),
    )
    if lungs is not None:
        return [said, *lungs_outlined(tracking, context.both_lungs(), lungs.outlined_by, context)]
    if first and classification.positive:
        return [said, *_seen(classification.algorithm, concept, tracking, context)]
    return [said]


def _seen(
    algorithm: Algorithm, concept: CodedConcept, tracking: TrackingIdentifier, context: Context
) -> list[Group]:
    """Where an X-ray classifier sees its finding: a group for each region, by the map that locates it.

    The largest has the Tracking UID of what the classifier says (``tracking``): OHIF draws one outline for
    a Tracking UID, and sets the score beside it.
    """
    groups: list[Group] = []
    for place, outline in enumerate(context.regions.evidence, start=1):
        words = context.texts("sr.region", number=place, model=algorithm.name)
        uid = tracking[-1].UID if place == 1 else context.identity.tracking_uid(f"region-{place}")
        groups.append(
            outlined(
                TrackingIdentifier(uid=uid, identifier=words),
                outline,
                context,
                finding_type=concept,
                algorithm_id=algorithm_item(algorithm, region=context.texts("sr.region_rule")),
            )
        )
    return groups
