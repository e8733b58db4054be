"""The card of a segmentation network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from export.data import ct
from export.data.ct_projections import HIGH, LOW
from export.measured import Measured
from export.networks.lite import MEAN, STD
from export.onnx_writer import write_card, write_graph
from export.paths import ONNX_MODELS
from plugin.cards import Card, Code, HuWindow, ModelInput, ModelOutput, OutputClass, Resize

if TYPE_CHECKING:
    from export.models.ct_segment import SegmentModel

LICENCE = "Weights: CC BY-NC-SA 4.0, as the COVID-19-CT-Seg masks ask; ImageNet start Apache-2.0"
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
    "pneumothorax. Consolidation without air may be left out of the lungs."
)


def _outputs(thresholds: Mapping[str, float]) -> tuple[ModelOutput, ...]:
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


def write_model(model: SegmentModel, network: nn.Module, measured: Measured) -> Path:
    """Graph and card of ``network``, the PROD of ``model``."""
    folder = ONNX_MODELS / model.name
    shape = (model.batch, 3, model.size, model.size)
    exported = write_graph(network, folder, shape=shape, outputs=["logits"], mean=MEAN, std=STD, half=True)
    card = Card(
        name=model.name,
        version="1.1.0",
        title=model.title,
        task="segment",
        modality="ct",
        default_rank=model.default_rank,
        sha256=exported.sha256,
        architecture=model.architecture,
        manufacturer="orthanc-chest-ai",
        input=ModelInput(
            name="image",
            shape=shape,
            intensity=HuWindow(low=LOW, high=HIGH),
            resize=Resize(mode="stretch"),
            mean=MEAN,
            std=STD,
        ),
        outputs=_outputs(measured.thresholds),
        training_data=DATA + PROD.format(count=len(model.folds), folds=ct.FOLDS),
        training_licence="CC BY-NC-SA 4.0 (COVID-19-CT-Seg), CC BY 3.0 and 4.0; partly unstated",
        figures=measured.figures,
        shortcut_checks=measured.shortcut_checks,
        intended_use="Research: volumes of lungs and of pneumonia-like opacities in adult chest CT.",
        limits=model.limits + LIMITS,
        licence=LICENCE,
        self_test=exported.self_test,
    )
    return write_card(card, folder)
