"""A chest X-ray: screen, decode, classify, attention map, results."""

from __future__ import annotations

from pydicom.dataset import Dataset

from plugin.analysis.attention import AttentionMap
from plugin.analysis.body import body_of_film
from plugin.dicom import imaging
from plugin.dicom.imaging import XrayImage
from plugin.domain.errors import ModelError
from plugin.domain.findings import Classification, Findings
from plugin.domain.kinds import Modality
from plugin.pipelines import steps
from plugin.pipelines.reading import Reading, Request
from plugin.results.capture import build_attention
from plugin.results.pdf.report import build_pdf
from plugin.results.pdf.xray import XrayMaterial
from plugin.results.sr.regions import NOWHERE, xray_regions
from plugin.results.sr.report import build_sr
from plugin.screening import gate


def read(request: Request) -> Reading:
    """Read one X-ray series: the first frontal film that passes the header rules.

    Raises ModelError where no classifier is loaded, ImagingError where the film cannot be decoded.
    """
    instances = steps.candidates(request, Modality.XRAY)
    verdict, chosen = gate.screen_xray(instances, request.settings.xray)
    if not verdict.accepted:
        return steps.rejected(request, Modality.XRAY, verdict, instances)
    if not request.lineup.xray:
        raise ModelError("no X-ray classifier is loaded")
    request.stages.enter("decode")
    most = request.settings.xray.max_pixels
    image = imaging.read_xray(request.source, chosen[0], max_pixels=most**2)
    request.stages.enter("classify")
    classifications: list[Classification] = []
    attention: AttentionMap | None = None
    for model in request.lineup.xray:
        prediction, classes = steps.ask(model, image.pixels)
        if model is request.lineup.xray[0]:
            verdict = verdict.joined(steps.network_verdict(model, classes))
            if not verdict.accepted:
                return steps.rejected(request, Modality.XRAY, verdict, chosen, model.algorithm)
            attention = steps.attention(model, prediction, classes, body_of_film(image.pixels))
        classifications.append(steps.classification(model, classes))
    findings = Findings(
        modality=Modality.XRAY,
        classifications=tuple(classifications),
        remarks=verdict.remarks,
        screening=request.lineup.xray[0].algorithm,
    )
    results = _results(request, image, findings, attention)
    return Reading(verdict=verdict, findings=findings, results=results)


def _results(
    request: Request,
    image: XrayImage,
    findings: Findings,
    attention: AttentionMap | None,
) -> dict[str, Dataset]:
    request.stages.enter("results")
    wanted, label = request.settings.results, steps.label_of(request.settings, request.site)
    results: dict[str, Dataset] = {}
    if wanted.attention and attention is not None:
        results["attention"] = build_attention(
            image=image,
            attention=attention,
            findings=findings,
            identity=request.identity,
            label=label,
        )
    if wanted.pdf:
        results["pdf"] = build_pdf(
            findings=findings,
            sources=[image.source],
            identity=request.identity,
            label=label,
            material=XrayMaterial(image=image, attention=attention),
            assessment=request.assessment,
        )
    regions = NOWHERE
    if attention is not None and attention.located:
        regions = xray_regions(image=image, shades=attention.shades)
    if wanted.key_images:
        results |= steps.key_images(request, findings, [image.source], regions)
    if wanted.sr:
        results["sr"] = build_sr(
            findings=findings,
            sources=[image.source],
            identity=request.identity,
            label=label,
            related=results,
            regions=regions,
            predecessors=request.predecessors,
            report_type=request.settings.report_type,
        )
    return results
