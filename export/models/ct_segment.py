"""CT segmentation: lungs and findings, slice by slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from export.data.ct_projections import HIGH, LOW
from export.data.ct_segment import Sampler, load_medseg, load_set
from export.measured import Measured
from export.models import ct_segment_text as text
from export.models.ct_segment_measure import Reader, measure
from export.models.ct_segment_train import SegmentTrainer
from export.models.ct_segmenter import CtSegmenter
from export.networks import efficientdet
from export.networks.lite import MEAN, STD
from export.networks.published import UNFINISHED
from export.training import Plan
from plugin.models.cards import ModelOutput
from plugin.models.inputs import HuWindow, ModelInput, Resize

SEED = 20


@dataclass(frozen=True, kw_only=True)
class SegmentModel(CtSegmenter):
    """A network that segments lungs and findings slice by slice, on squares of ``size`` pixels.

    ``limits``: what the card says first of its limits.
    """

    SEED: ClassVar[int] = SEED
    VERSION: ClassVar[str] = "1.1.1"

    size: int
    batch: int
    limits: str = ""

    @property
    def input(self) -> ModelInput:
        """Slices in the window of the projections."""
        return ModelInput(
            name="image",
            shape=(self.batch, 3, self.size, self.size),
            intensity=HuWindow(low=LOW, high=HIGH),
            resize=Resize(mode="stretch"),
            mean=MEAN,
            std=STD,
        )

    def begun(self, checkpoint: Path) -> SegmentTrainer:
        """A trainer of slices."""
        return SegmentTrainer(self.build(), self.plan, MEAN[0], STD[0], checkpoint)

    def sampler(self, names: Sequence[str], seed: int) -> Sampler:
        """Training slices of these volumes and the MedSeg set."""
        sets = [load_set(name, self.size, LOW, HIGH) for name in names]
        return Sampler([*sets, load_medseg(self.size, LOW, HIGH)], seed)

    def reader(self, part: int | str) -> Reader:
        """Reads whole volumes as the plugin does."""
        return Reader(self.trained(part), self.size, LOW, HIGH, MEAN[0], STD[0])

    def evaluate(self) -> Measured:
        """TRAIN on the volumes of its folds, the DICOM chest and the slices with expert lungs."""
        readers = {fold: self.reader(fold) for fold in self.folds}
        return measure(readers, f"python -m export evaluate {self.name}")

    def outputs(self, thresholds: Mapping[str, float]) -> tuple[ModelOutput, ...]:
        """Lung and findings."""
        return text.outputs(thresholds)

    def words(self, _measured: Measured, /) -> dict[str, str]:
        """Of the slice-wise networks."""
        return {
            "training_data": self.trained_on(text.DATA),
            "intended_use": text.INTENDED_USE,
            "limits": self.limits + text.LIMITS,
            "licence": text.LICENCE,
        }


MODELS = (
    SegmentModel(
        name="ct-segment-compact",
        title="CT lungs and findings, compact",
        architecture=(
            "Modified EfficientDet: EfficientNet-Lite0 trunk (ImageNet) to /32, BiFPN of 2 cells x 48 "
            "channels, head of 2 separable convolutions at /2, 256 x 256"
        ),
        build=lambda: efficientdet.compact(256, 48),
        size=256,
        batch=4,
        plan=Plan(steps=1350),
        default_rank=10,
        folds=(0, 1),
    ),
    SegmentModel(
        name="ct-segment-full",
        title="CT lungs and findings, as published",
        architecture=(
            "Modified EfficientDet as published: EfficientNet-B4 trunk to /8, BiFPN of 3 cells x 128 "
            "channels, expand, head of 3 separable convolutions; trunk grown from ImageNet's Lite2, "
            "256 x 256"
        ),
        build=efficientdet.published,
        size=256,
        batch=4,
        plan=Plan(steps=800, batch=4),
        default_rank=20,
        folds=(0,),
        limits=UNFINISHED,
    ),
)
