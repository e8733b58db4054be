"""What further segmenters mark beside the leading one, in words."""

from __future__ import annotations

from plugin.domain.findings import LungMeasurements
from plugin.results.texts import Texts


def sentences(beside: LungMeasurements, leading: LungMeasurements, texts: Texts) -> list[str]:
    """How much a further segmenter marks, and how far it agrees with the leading one."""
    model, volume = beside.algorithm.name, texts.volume(beside.findings_ml)
    if beside.agreement is None:
        return [texts("beside.nothing", model=model)]
    dice = texts.number(beside.agreement, 2)
    return [
        texts("beside.marks", model=model, volume=volume, percent=texts.percent(beside.percent, 1)),
        texts("beside.agreement", leading=leading.algorithm.name, agreement=dice),
    ]
