"""A chest CT: screen, decode, accept, classify, segment, measure, results."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plugin import imaging, screening
from plugin.analysis import lungs as lung_analysis
from plugin.analysis.projection import Projections
from plugin.analysis.segmentation import segment
from plugin.cards import HuWindow
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
from plugin.results.pdf_ct import CtMaterial
from plugin.results.seg import build_seg
from plugin.results.sr import build_sr

RIGHT, LEFT = 1, 2
"""Labels of the lungs in a mask."""


@dataclass(frozen=True, kw_only=True)
class _Segmented:
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
    classifications = tuple(_classify(model, projections) for model in lineup.ct_classifiers)
    segmented, measured, remarks = None, None, verdict.remarks
    if lineup.ct_segmentation is not None:
        segmented = _segment(request, lineup.ct_segmentation, volume)
        measured, more = _measure(lineup.ct_segmentation.algorithm, volume, segmented)
        remarks += more
    findings = Findings(modality="ct", classifications=classifications, lungs=measured, remarks=remarks)
    reading = Reading(verdict=Verdict(remarks=remarks), findings=findings)
    return _results(request, volume, segmented if measured else None, findings, reading)
