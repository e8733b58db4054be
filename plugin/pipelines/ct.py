"""A chest CT: screen, decode, accept, segment, measure, classify, results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from plugin.analysis.lungs import body_midline
from plugin.analysis.projection import Projections
from plugin.dicom import imaging
from plugin.dicom.imaging import CtVolume, Instance
from plugin.domain import errors
from plugin.domain.errors import ModelError
from plugin.domain.findings import (
    Classification,
    Findings,
    LungMeasurements,
    Remark,
    Severity,
    Verdict,
)
from plugin.domain.kinds import LUNGS_INCOMPLETE, Modality, RemarkCode
from plugin.models.inputs import HuWindow
from plugin.pipelines import steps
from plugin.pipelines.ct_classify import classify, views, windows_of
from plugin.pipelines.ct_lesions import Lesions
from plugin.pipelines.ct_segment import Segmented, measure, segment_all
from plugin.pipelines.reading import Reading, Request
from plugin.results.pdf.material import CtMaterial
from plugin.results.pdf.report import build_pdf
from plugin.results.seg.segmentation import build_seg
from plugin.results.sr.regions import NOWHERE, ct_regions
from plugin.results.sr.report import build_sr
from plugin.results.thumbnail import thumbnail_of
from plugin.screening import gate
from plugin.screening.common import warn

LEAST_LUNGS_ML = 500.0
"""Less than half a litre is no lung, and no percentage is given."""

UNCALLED_PERCENT = 5.0
"""From this share of both lungs on, findings that no classifier calls are remarked upon."""

CUT_AREA_MM2 = 500.0
"""Lungs of more than 5 cm2 in an outermost slice run out of the images."""


def read(request: Request) -> Reading:
    """Read one CT series.

    Raises ModelError where neither a classifier nor a segmenter is loaded, ImagingError where a slice
    cannot be decoded.
    """
    lineup = request.lineup
    instances = steps.candidates(request, Modality.CT)
    verdict, chosen = gate.screen_ct(instances, request.settings.ct)
    if not verdict.accepted:
        return steps.rejected(request, Modality.CT, verdict, instances)
    if not lineup.ct_classifiers and lineup.ct_segmentation is None:
        raise ModelError("no CT model is loaded")
    try:
        volume, projections = _decode(request, chosen)
    except errors.NoContrast as error:
        remark = Remark(code=error.code, severity=Severity.REJECT, message=str(error))
        return steps.rejected(request, Modality.CT, verdict.joined(Verdict(remarks=(remark,))), chosen)
    verdict = verdict.joined(_screen(request, projections))
    screening = None if lineup.ct_reject is None else lineup.ct_reject.algorithm
    if not verdict.accepted:
        return steps.rejected(request, Modality.CT, verdict, chosen, screening)
    segmented, measured, remarks = None, None, verdict.remarks
    beside: list[LungMeasurements] = []
    if lineup.ct_segmentation is None:
        words = "the lungs were not segmented: no network for that is in use"
        remarks += (warn(RemarkCode.NOT_SEGMENTED, words),)
    else:
        segmented, (measured, *beside) = _segment(request, volume, projections)
        remarks += tuple(_remarks(measured, volume, segmented))
        if measured.volume_ml < LEAST_LUNGS_ML:
            segmented, measured, beside = None, None, []
    request.stages.enter("classify")
    lesions = None if segmented is None else Lesions(lungs=segmented.lungs, findings=segmented.findings)
    classified = classify(lineup.ct_classifiers, volume, projections, lesions)
    remarks += classified.remarks
    if measured is not None:
        remarks += tuple(_disagreement(measured, classified.said))
    findings = Findings(
        modality=Modality.CT,
        classifications=classified.said,
        joined=None if lineup.ct_joiner is None else lineup.ct_joiner.join(classified.said, measured),
        lungs=measured,
        beside=tuple(beside),
        remarks=remarks,
        screening=screening,
    )
    material = None
    if segmented is not None:
        material = CtMaterial(
            volume=volume,
            lungs=segmented.lungs,
            findings=segmented.findings,
            attention=classified.seen,
        )
    results = _results(request, volume, material, findings)
    return Reading(
        verdict=Verdict(remarks=remarks),
        findings=findings,
        results=results,
        thumbnail=None if material is None else thumbnail_of(material),
    )


def _decode(request: Request, chosen: Sequence[Instance]) -> tuple[CtVolume, dict[HuWindow, Projections]]:
    """The volume, and its projections for each window that a network wants, made while decoding."""
    request.stages.enter("decode")
    thickness = imaging.stack_of(chosen).thickness
    projections = {
        window: Projections(low=window.low, high=window.high, thickness=thickness)
        for window in windows_of(request.lineup)
    }

    def on_slice(k: int, slice_: npt.NDArray[np.int16]) -> None:
        for projection in projections.values():
            projection.add(k, slice_)
        request.stages.progress((k + 1) / len(chosen))

    limits = request.settings.ct
    volume = imaging.read_ct(
        request.source,
        chosen,
        on_slice=on_slice,
        max_voxels=limits.max_voxels,
        min_hu_range=limits.min_hu_range,
    )
    return volume, projections


def _screen(request: Request, projections: Mapping[HuWindow, Projections]) -> Verdict:
    """The accept / reject network's verdict."""
    request.stages.enter("screen")
    model = request.lineup.ct_reject
    if model is None:
        remark = warn(RemarkCode.NOT_SCREENED, "no network has checked that this is a whole chest CT")
        return Verdict(remarks=(remark,))
    _, classes = steps.ask(model, *views(model, projections))
    return steps.network_verdict(model, classes)


def _segment(
    request: Request, volume: CtVolume, projections: Mapping[HuWindow, Projections]
) -> tuple[Segmented, tuple[LungMeasurements, ...]]:
    """Lungs and findings of the leading segmenter; its measurements and those of the ones beside it."""
    request.stages.enter("segment")
    midline = body_midline(next(iter(projections.values())).axial)
    leading, *others = segment_all(request.lineup, volume, midline=midline, progress=request.stages.progress)
    request.stages.enter("measure")
    return leading, (measure(leading, volume), *(measure(other, volume, leading) for other in others))


def _remarks(measured: LungMeasurements, volume: CtVolume, segmented: Segmented) -> Iterator[Remark]:
    """What a reader must know of the measurement: lungs missing or cut, nothing found."""
    if measured.volume_ml < LEAST_LUNGS_ML:
        volume_ml = f"{measured.volume_ml:.0f}"
        words = f"no lungs were found: only {volume_ml} mL, where two lungs have 2000 to 8000 mL"
        yield warn(RemarkCode.NO_LUNGS, words, volume=volume_ml)
        return
    missing = ((measured.left, RemarkCode.NO_LEFT_LUNG), (measured.right, RemarkCode.NO_RIGHT_LUNG))
    for lung, code in missing:
        if lung.volume_ml == 0:
            yield warn(code, f"no {lung.side} lung was found")
    area = volume.spacing[1] * volume.spacing[2]
    ends = (
        ("base", RemarkCode.LUNGS_CUT_BASE, segmented.lungs[0]),
        ("apex", RemarkCode.LUNGS_CUT_APEX, segmented.lungs[-1]),
    )
    for end, code, section in ends:
        if np.count_nonzero(section) * area > CUT_AREA_MM2:
            words = f"the lungs are cut off at the {end}: part of them lies outside the images"
            yield warn(code, words)
    if measured.findings_ml == 0:
        yield warn(RemarkCode.NO_FINDINGS, "no opacities were marked in the lungs")


def _disagreement(measured: LungMeasurements, classifications: Sequence[Classification]) -> Iterator[Remark]:
    """What to say where the segmentation shows findings that no classifier calls."""
    uncalled = classifications and not any(said.positive for said in classifications)
    if uncalled and measured.percent >= UNCALLED_PERCENT:
        percent = f"{measured.percent:.1f}"
        words = (
            f"opacities are marked in {percent} % of the lung on the images, but no classifier suspects any"
        )
        yield warn(RemarkCode.FINDINGS_NOT_CALLED, words, percent=percent)


def _results(
    request: Request, volume: CtVolume, material: CtMaterial | None, findings: Findings
) -> dict[str, Dataset]:
    request.stages.enter("results")
    wanted, label = request.settings.results, steps.label_of(request.settings, request.site)
    results: dict[str, Dataset] = {}
    history = () if findings.codes & LUNGS_INCOMPLETE else request.history
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
            history=history,
            assessment=request.assessment,
        )
    request.stages.progress(0.8)
    regions = NOWHERE
    if material is not None and (wanted.sr or wanted.key_images):
        regions = ct_regions(
            volume=volume,
            lungs=material.lungs,
            findings_mask=material.findings,
            opacities=material.opacities,
        )
    if wanted.key_images:
        results |= steps.key_images(request, findings, volume.sources, regions)
    if wanted.sr:
        results["sr"] = build_sr(
            findings=findings,
            sources=volume.sources,
            identity=request.identity,
            label=label,
            related=results,
            regions=regions,
            history=history,
            predecessors=request.predecessors,
            report_type=request.settings.report_type,
        )
    return results
