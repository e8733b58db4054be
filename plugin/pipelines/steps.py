"""Steps that X-ray and CT share: asking a classifier, labelling results, ending with a rejection."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from plugin import __version__
from plugin.analysis.attention import (
    AttentionMap,
    Box,
    attention_map,
    evidence_shades,
    located_shades,
    log_odds,
)
from plugin.dicom import imaging
from plugin.dicom.imaging import Instance
from plugin.domain.errors import NoCandidate
from plugin.domain.findings import (
    Algorithm,
    Classification,
    ClassProbability,
    Findings,
    Severity,
    Verdict,
)
from plugin.domain.kinds import Modality, RemarkCode, ResultKind
from plugin.models.network import Model, Prediction
from plugin.pipelines.reading import Reading, Request
from plugin.results.common import PRODUCT, SeriesLabel
from plugin.results.key_images import build_key_images
from plugin.results.sr.regions import Regions
from plugin.results.sr.report import build_sr
from plugin.results.summary import score_of, threshold
from plugin.results.texts import Texts
from plugin.screening import gate
from plugin.screening.common import reject
from plugin.settings import Settings

log = logging.getLogger(__name__)

_ENGLISH = Texts("en")
"""The language of remarks; reports say them in their own, with the values of these."""


def label_of(settings: Settings, site: str = "") -> SeriesLabel:
    """How the settings want the results labelled; ``site`` tells the Orthanc that made them from others."""
    numbers = settings.series_numbers
    return SeriesLabel(
        software_version=__version__,
        description=settings.series_description,
        numbers=numbers.model_dump(),
        language=settings.language,
        institution=settings.institution,
        device_serial=site or PRODUCT,
    )


def candidates(request: Request, modality: Modality) -> tuple[Instance, ...]:
    """The headers of the instances that are what the series is read as; files of another kind are left out.

    Raises NoCandidate where there is none, NotHeld where an instance no longer exists.
    """
    instances = imaging.read_instances(request.source)
    wanted = request.settings.xray.modalities
    fitting = tuple(i for i in instances if gate.modality_of(i.header, wanted) == modality)
    if not fitting and instances:
        raise NoCandidate(f"by its files it is no series to be read as {modality}")
    if len(fitting) < len(instances):
        log.warning("%d instances are of another kind and left out", len(instances) - len(fitting))
    return fitting


def ask(model: Model, *pictures: npt.NDArray[np.float32]) -> tuple[Prediction, tuple[ClassProbability, ...]]:
    """Run a classifier on a picture (or one for each channel): its answer, each class's probability."""
    return ask_prepared(model, model.prepare(*pictures))


def ask_prepared(
    model: Model, prepared: npt.NDArray[np.float32]
) -> tuple[Prediction, tuple[ClassProbability, ...]]:
    """As :func:`ask`, on what is ready for the network: (channels, rows, columns), or with a depth."""
    prediction = model.predict(prepared[None])
    classes = tuple(
        ClassProbability(
            name=c.name,
            meaning=c.meaning,
            code=c.code,
            role=c.role,
            probability=float(probability),
            threshold=c.threshold,
        )
        for c, probability in zip(model.classes, prediction.probabilities[0], strict=True)
    )
    return prediction, classes


def classification(model: Model, classes: tuple[ClassProbability, ...]) -> Classification:
    """What a classifier's probabilities say at its operating point.

    The finding is called where its probability reaches its threshold; otherwise the likeliest of the
    other classes is, the rejection aside.
    """
    called = next(c for c in classes if c.role == "finding")
    if called.probability < called.threshold:
        called = max((c for c in classes if c.role == "other"), key=lambda c: c.probability)
    return Classification(
        algorithm=model.algorithm,
        projection=model.card.input.view,
        classes=classes,
        called=called.name,
    )


def attention(
    model: Model,
    prediction: Prediction,
    classes: Sequence[ClassProbability],
    body: npt.NDArray[np.bool_],
    box: Box | None = None,
) -> AttentionMap | None:
    """A classifier's evidence for its finding, over a picture of the shape of ``body``, of which the network
    was given ``box`` (None: all); None where the network does not tell."""
    evidence = model.evidence(prediction)
    if evidence is None:
        return None
    spec = model.card.input
    return attention_map(
        shades(model, evidence[0], classes),
        body=body,
        input_shape=(spec.shape[2], spec.shape[3]),
        short_side=spec.resize.size,
        box=box,
        located=model.card.localises,
    )


def shades(
    model: Model, evidence: npt.NDArray[np.float32], classes: Sequence[ClassProbability]
) -> npt.NDArray[np.float32]:
    """A classifier's evidence for its finding (h, w) as shades up to 1, as its card says what they are."""
    finding = next(c for c in classes if c.role == "finding")
    margin = log_odds(finding.probability) - log_odds(finding.threshold)
    if model.card.localises:
        return located_shades(evidence, margin=margin)
    return evidence_shades(evidence, margin=margin, temperature=model.card.logits.temperature)


def network_verdict(model: Model, classes: Sequence[ClassProbability]) -> Verdict:
    """A network's verdict on a series: rejected where its class for that reaches the threshold."""
    rejected = next((c for c in classes if c.role == "reject"), None)
    if rejected is None or rejected.probability < rejected.threshold:
        return Verdict()
    name = model.card.name
    score = score_of(rejected.probability, rejected.threshold, _ENGLISH)
    limit = threshold(rejected.threshold, _ENGLISH)
    message = (
        f"the network {name} does not take this for a whole {_SUBJECT[model.card.modality]} "
        f"(rejection score {score} of 100, limit {limit})"
    )
    remark = reject(RemarkCode.NETWORK_REJECTION, message, model=name, score=score, limit=limit)
    return Verdict(remarks=(remark,))


def key_images(
    request: Request, findings: Findings, sources: Sequence[Instance], regions: Regions
) -> dict[str, Dataset]:
    """The key images by their kind; nothing where no image shows a finding."""
    made = build_key_images(
        findings=findings,
        sources=sources,
        regions=regions,
        identity=request.identity,
        label=label_of(request.settings, request.site),
    )
    return {} if made is None else {ResultKind.KEY_IMAGES: made}


def rejected(
    request: Request,
    modality: Modality,
    verdict: Verdict,
    sources: Sequence[Instance],
    screening: Algorithm | None = None,
) -> Reading:
    """End with a rejection, by the network ``screening`` or by a rule; with a note where the settings want
    one."""
    results: dict[str, Dataset] = {}
    if sources and _noted(verdict, request.settings.results.rejection_sr):
        request.stages.enter("results")
        results["sr"] = build_sr(
            findings=Findings(modality=modality, remarks=verdict.remarks, screening=screening),
            sources=sources,
            identity=request.identity,
            label=label_of(request.settings, request.site),
            predecessors=request.predecessors,
            report_type=request.settings.report_type,
        )
    return Reading(verdict=verdict, results=results)


_CONTENT = frozenset(
    {
        RemarkCode.NETWORK_REJECTION,
        RemarkCode.HU_RANGE,
        RemarkCode.MISSING_SLICES,
        RemarkCode.DUPLICATE_POSITIONS,
        RemarkCode.UNEVEN_SPACING,
        RemarkCode.SHIFTED_SLICES,
        RemarkCode.TILTED,
    }
)
"""What rejects a series that by its header is one to be read: a reader waits for its results. A hand, a
localizer, a lateral film or another reconstruction is rejected by its header, and nobody waits."""


def _noted(verdict: Verdict, wanted: str) -> bool:
    if wanted == "content":
        codes = {remark.code for remark in verdict.remarks if remark.severity is Severity.REJECT}
        return codes <= _CONTENT
    return wanted == "all"


_SUBJECT = {Modality.XRAY: "frontal chest X-ray", Modality.CT: "chest CT"}
