"""The words and codes on the cards of the segmentation networks."""

from __future__ import annotations

from collections.abc import Mapping

from plugin.domain.codes import Code
from plugin.models.cards import ModelOutput, OutputClass

LICENCE = "Weights: CC BY-NC-SA 4.0, as the COVID-19-CT-Seg masks ask; ImageNet start Apache-2.0"
TRAINING_LICENCE = "CC BY-NC-SA 4.0 (COVID-19-CT-Seg), CC BY 3.0 and 4.0; partly unstated"
INTENDED_USE = "Research: volumes of lungs and of pneumonia-like opacities in adult chest CT."
DATA = (
    "COVID-19-CT-Seg (15 volumes with experts' masks of findings, 8-bit, about +-60 HU), MedSeg (50 "
    "slices), six chest CTs without COVID-19 (LIDC-IDRI, Lung-PET-CT-Dx, COPDGene, LungSeg3D). Lung "
    "masks are derived (air inside the body joined with the findings and closed) but for two volumes. "
)
PROD = (
    "PROD: trained on all patients but the DICOM chest of LIDC-IDRI; the figures are those of networks "
    "trained as long without the patient ({count} of {folds} folds)."
)
LIMITS = (
    "Small evidence: 15 COVID-19 patients of two collections, reduced to 8 bits and at most 256 pixels "
    "a side. Findings are opacities as drawn in COVID-19 pneumonia; other consolidation, tumours, "
    "atelectasis and motion may be marked, small and faint opacities be missed, and of large ones up to "
    "half was left out in patients whom the network never saw. Adults, supine, no measure of effusion or "
    "pneumothorax. Consolidation without air may be left out of the lungs. The margin of error told with a "
    "volume is that of these patients; at another hospital it may be wider."
)


def outputs(thresholds: Mapping[str, float]) -> tuple[ModelOutput, ...]:
    """Lung and findings, each with its code and operating point."""
    lung = OutputClass(
        name="lung",
        role="lung",
        meaning="Lung",
        code=Code(value="39607008", scheme="SCT", meaning="Lung"),
        threshold=thresholds["lung"],
    )
    findings = OutputClass(
        name="findings",
        role="finding",
        meaning="Opacity as in COVID-19 pneumonia",
        code=Code(value="112033", scheme="DCM", meaning="Abnormal opacity"),
        threshold=thresholds["findings"],
    )
    return (ModelOutput(name="logits", meaning="logits", classes=(lung, findings), activation="sigmoid"),)
