"""A chest CT: screen, decode, accept, classify, segment, measure, results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from plugin import imaging, screening
from plugin.analysis import lungs as lung_analysis
from plugin.analysis.preprocess import window
from plugin.analysis.projection import Projections
from plugin.analysis.segmentation import segment
from plugin.cards import HuWindow, Role
from plugin.imaging import CtVolume, Instance
from plugin.models import Model, ModelError
from plugin.pipelines import steps
from plugin.pipelines.reading import Reading, Request
from plugin.results.findings import (
    Algorithm,
    Classification,
    Findings,
    LungMeasurement,
    LungMeasurements,
    Remark,
    Severity,
    Side,
    Verdict,
)
from plugin.results.pdf import build_pdf
from plugin.results.pdf_ct import CtMaterial, ProjectionAttention
from plugin.results.seg import build_seg
from plugin.results.sr import build_sr

RIGHT, LEFT = 1, 2
"""Labels of the lungs in a mask."""


MIN_LUNG_ML = 500.0
"""Less than this is no lung, and no percentage is given."""

CUT_SHARE = 0.1
"""Lungs are called cut where an end slice has more than this share of the largest section's lung."""


@dataclass(frozen=True, kw_only=True)
class _Masks:
    """Masks in the volume's canonical orientation: lungs (0, RIGHT, LEFT) and findings inside them."""

    lungs: npt.NDArray[np.uint8]
    findings: npt.NDArray[np.bool_]


def read(request: Request) -> Reading:
    """Read one CT series.

    Raises ModelError where neither a classifier nor a segmenter is loaded, ImagingError where a slice
    cannot be decoded.
    """
    lineup = request.lineup
    if not lineup.ct_classifiers and lineup.ct_segmentation is None:
        raise ModelError("no CT model is loaded")
    instances = imaging.read_instances(request.source)
    verdict, chosen = screening.screen_ct(instances, request.settings.ct)
    if not verdict.accepted:
        return steps.rejected(request, "ct", verdict, instances)
    try:
        volume, projections = _decode(request, chosen)
    except imaging.NoContrast as error:
        remark = Remark(code=error.code, severity=Severity.REJECT, message=str(error))
        return steps.rejected(request, "ct", verdict.joined(Verdict(remarks=(remark,))), chosen)
    verdict = verdict.joined(_screen(request, projections))
    if not verdict.accepted:
        return steps.rejected(request, "ct", verdict, chosen)
    request.stages.enter("classify")
    classified = [_classify(model, projections, volume) for model in lineup.ct_classifiers]
    masks, measured, remarks = None, None, verdict.remarks
    if lineup.ct_segmentation is not None:
        masks = _segment(request, lineup.ct_segmentation, volume)
        measured, more = _measure(lineup.ct_segmentation.algorithm, volume, masks)
        remarks += more
    findings = Findings(
        modality="ct",
        classifications=tuple(classification for classification, _ in classified),
        lungs=measured,
        remarks=remarks,
    )
    material = None
    if masks is not None and measured is not None:
        attention = tuple(seen for _, seen in classified if seen is not None)
        material = CtMaterial(volume=volume, lungs=masks.lungs, findings=masks.findings, attention=attention)
    results = _results(request, volume, material, findings)
    return Reading(verdict=Verdict(remarks=remarks), findings=findings, results=results)


def _decode(request: Request, chosen: Sequence[Instance]) -> tuple[CtVolume, dict[HuWindow, Projections]]:
    """The volume, and its projections for each window that a network wants, made while decoding."""
    request.stages.enter("decode")
    thickness = imaging.stack_of(chosen).thickness
    readers = [m for m in (*request.lineup.ct_classifiers, request.lineup.ct_reject) if m is not None]
    projections = {
        window: Projections(low=window.low, high=window.high, thickness=thickness)
        for window in {_window(model) for model in readers}
    }

    def on_slice(k: int, slice_: npt.NDArray[np.int16]) -> None:
        for projection in projections.values():
            projection.add(k, slice_)
        request.stages.progress((k + 1) / len(chosen))

    return imaging.read_ct(request.source, chosen, on_slice=on_slice), projections


def _screen(request: Request, projections: Mapping[HuWindow, Projections]) -> Verdict:
    """The accept / reject network's verdict."""
    request.stages.enter("screen")
    model = request.lineup.ct_reject
    if model is None:
        return Verdict(remarks=(steps.not_screened("ct"),))
    _, classes = steps.ask(model, _projection(model, projections))
    return steps.network_verdict(model, classes)


def _classify(
    model: Model, projections: Mapping[HuWindow, Projections], volume: CtVolume
) -> tuple[Classification, ProjectionAttention | None]:
    """What a classifier says of its projection, and where it looked."""
    picture = _projection(model, projections)
    prediction, classes = steps.ask(model, picture)
    said = steps.classification(model, classes)
    attention = steps.attention(model, prediction, picture.shape)
    if attention is None or said.projection is None:
        return said, None
    between, rows, columns = (
        count * spacing for count, spacing in zip(volume.hu.shape, volume.spacing, strict=True)
    )
    shown = window(picture, float(picture.min()), float(picture.max()))
    return said, ProjectionAttention(
        projection=said.projection,
        picture=shown,
        attention=attention,
        size=(rows, columns) if said.projection == "axial" else (between, rows),
    )


def _segment(request: Request, model: Model, volume: CtVolume) -> _Masks:
    """Lungs and findings slice by slice, then left and right."""
    request.stages.enter("segment")
    lung, findings = segment(
        volume.hu,
        prepare=model.prepare,
        predict=lambda inputs: model.predict(inputs).probabilities,
        batch=model.batch,
        lung=_channel(model, "lung"),
        findings=_channel(model, "finding"),
        progress=request.stages.progress,
    )
    request.stages.enter("measure")
    sides = lung_analysis.separate(lung, spacing=volume.spacing)
    return _Masks(lungs=sides, findings=findings & (sides > 0))


def _channel(model: Model, role: Role) -> tuple[int, float]:
    """The channel of a segmenter's output that has a role, and its threshold."""
    index = model.class_index(role)
    if index is None:
        raise ModelError(f"{model.card.name} has no class of role {role}")
    return index, model.classes[index].threshold


def _measure(
    algorithm: Algorithm, volume: CtVolume, masks: _Masks
) -> tuple[LungMeasurements | None, tuple[Remark, ...]]:
    """Volumes of both lungs, and what there is to say of them."""
    area = volume.spacing[1] * volume.spacing[2]

    def measurement(side: Side, label: int) -> LungMeasurement:
        lung = masks.lungs == label
        return LungMeasurement(
            side=side,
            volume_ml=lung_analysis.volume_ml(lung, thickness=volume.thickness, pixel_area=area),
            findings_ml=lung_analysis.volume_ml(
                lung & masks.findings, thickness=volume.thickness, pixel_area=area
            ),
        )

    measured = LungMeasurements(
        algorithm=algorithm,
        left=measurement(Side.LEFT, LEFT),
        right=measurement(Side.RIGHT, RIGHT),
    )
    if measured.volume_ml < MIN_LUNG_ML:
        message = f"no lungs were found ({measured.volume_ml:.0f} mL, at least {MIN_LUNG_ML:.0f} expected)"
        return None, (Remark(code="no_lungs", severity=Severity.WARN, message=message),)
    return measured, tuple(_remarks(measured, masks))


def _remarks(measured: LungMeasurements, masks: _Masks) -> Iterator[Remark]:
    """What a reader must know of the measurement: one lung missing, lungs cut, no findings."""
    for lung in (measured.left, measured.right):
        if lung.volume_ml < 0.1 * measured.volume_ml:
            message = f"the {lung.side} lung was not found or is very small ({lung.volume_ml:.0f} mL)"
            yield Remark(code=f"no_{lung.side}_lung", severity=Severity.WARN, message=message)
    for end, index in (("lowest", 0), ("highest", -1)):
        share = np.count_nonzero(masks.lungs[index]) / max(1, _largest_section(masks.lungs))
        if share > CUT_SHARE:
            message = f"the lungs reach the {end} slice: they are only partly covered"
            yield Remark(code=f"lungs_cut_{end}", severity=Severity.WARN, message=message)
    if measured.findings_ml == 0:
        message = "no findings were segmented"
        yield Remark(code="no_findings", severity=Severity.WARN, message=message)


def _largest_section(lungs: npt.NDArray[np.uint8]) -> int:
    """Pixels of lung in the slice that has most of it."""
    return max(int(np.count_nonzero(section)) for section in lungs)


def _results(
    request: Request, volume: CtVolume, material: CtMaterial | None, findings: Findings
) -> dict[str, Dataset]:
    request.stages.enter("results")
    wanted, label = request.settings.results, steps.label_of(request.settings)
    results: dict[str, Dataset] = {}
    if wanted.seg and material is not None:
        segmentation = build_seg(
            volume=volume,
            lungs=material.lungs,
            findings_mask=material.findings,
            findings=findings,
            identity=request.identity,
            label=label,
            segmentation_type=request.settings.segmentation_type,
        )
        if segmentation is not None:
            results["seg"] = segmentation
    request.stages.progress(0.4)
    if wanted.pdf:
        results["pdf"] = build_pdf(
            findings=findings,
            sources=volume.sources,
            identity=request.identity,
            label=label,
            material=material,
            history=request.history,
        )
    request.stages.progress(0.8)
    if wanted.sr:
        results["sr"] = build_sr(
            findings=findings,
            sources=volume.sources,
            identity=request.identity,
            label=label,
            segmentation=results.get("seg"),
            history=request.history,
            predecessors=request.predecessors,
        )
    return results


def _window(model: Model) -> HuWindow:
    """The window of a network that reads projections. Raises ModelError where its card has none."""
    if not isinstance(model.card.input.intensity, HuWindow):
        raise ModelError(f"{model.card.name} reads projections but its card has no HU window")
    return model.card.input.intensity


def _projection(model: Model, projections: Mapping[HuWindow, Projections]) -> npt.NDArray[np.float32]:
    """The mean projection that a network's card asks for, in HU."""
    wanted = model.card.input.projection
    if wanted is None:
        raise ModelError(f"{model.card.name} classifies CT but its card names no projection")
    projection = projections[_window(model)]
    return projection.axial if wanted.axis == "axial" else projection.sagittal
