"""The words on the cards of the volumetric segmenters."""

from __future__ import annotations

from collections.abc import Mapping

from export.measured import Measured
from export.models import ct_segment_text
from plugin.models.cards import ModelOutput

LICENCE = "Weights: CC BY-NC-SA 4.0, as the COVID-19-CT-Seg masks ask"
INTENDED_USE = (
    "Research: volumes of pneumonia-like opacities in adult chest CT, inside lungs found by another."
)
DATA = (
    "COVID-19-CT-Seg (15 volumes with experts' masks of findings, 8-bit, about +-60 HU), six chest CTs "
    "without COVID-19 (LIDC-IDRI, Lung-PET-CT-Dx, COPDGene, LungSeg3D). From random weights, as published. "
)
LUNGS = (
    "The figures are read inside lungs that a small slice-wise network found, trained without the patient; "
    "in the plugin the slice-wise network in use finds them. "
)
OPTION = (
    "An option and a starting point for training, not read by default: it was trained for a minute and a "
    "half on a shared GPU, from nothing. "
)


def limits(measured: Measured, other: str) -> str:
    """The limits, which begin with how the network stands beside the other."""
    own = next(f for f in measured.figures if f.name.startswith("findings Dice less"))
    if own.value is None or own.interval is None:
        return f"Not compared with {other}. " + LUNGS + ct_segment_text.LIMITS
    low, high = own.interval
    said = f"findings Dice {own.value:+.3f} ({low:+.3f} to {high:+.3f})"
    if low > 0:
        first = f"Better than {other} on the same patients: {said}. "
    else:
        stands = "Worse than" if high < 0 else "No better than"
        first = f"{stands} {other} on the same patients: {said}. {OPTION}"
    return first + LUNGS + ct_segment_text.LIMITS


def outputs(thresholds: Mapping[str, float]) -> tuple[ModelOutput, ...]:
    """Findings alone, with their code and operating point."""
    (output,) = ct_segment_text.outputs({"lung": 0.5, **thresholds})
    findings = tuple(c for c in output.classes if c.role == "finding")
    return (output.model_copy(update={"classes": findings}),)
