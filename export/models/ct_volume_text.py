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
    "The figures are read inside lungs that know nothing of the findings (air inside the body, closed); in "
    "the plugin a slice-wise network finds the lungs. "
)


def limits(measured: Measured, other: str) -> str:
    """The limits, which begin with how the network stands beside the other."""
    own = next(f for f in measured.figures if f.name.startswith("findings Dice less"))
    if own.value is None or own.interval is None:
        first = f"Not compared with {other}. "
    elif own.interval[0] > 0:
        first = f"On the same patients better than {other}: Dice {own.value:+.3f}. "
    else:
        first = (
            f"No better than {other} on the same patients (Dice {own.value:+.3f}, {own.interval[0]:+.3f} to "
            f"{own.interval[1]:+.3f}): an option and a starting point, not read by default. Trained for "
            "minutes on two cores. "
        )
    return first + LUNGS + ct_segment_text.LIMITS


def outputs(thresholds: Mapping[str, float]) -> tuple[ModelOutput, ...]:
    """Findings alone, with their code and operating point."""
    (output,) = ct_segment_text.outputs({"lung": 0.5, **thresholds})
    findings = tuple(c for c in output.classes if c.role == "finding")
    return (output.model_copy(update={"classes": findings}),)
