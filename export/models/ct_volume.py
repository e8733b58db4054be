"""CT segmentation by volumes: findings by a 3-D U-Net++, inside the lungs that a slice-wise network finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from export.data.ct_patches import Bytes, PatchSampler, Stored, cache_of, load_stored
from export.measured import Measured
from export.models import ct_joined_share
from export.models import ct_volume_text as text
from export.models.ct_segment_train import SegmentTrainer
from export.models.ct_segmenter import CtSegmenter
from export.models.ct_volume_measure import OVERLAP, VolumeReader, in_onnx_runtime, measure
from export.networks import unetpp
from export.onnx_writer import write_graph
from export.paths import runs_folder
from export.training import Plan, best_device
from plugin.models.cards import ModelOutput
from plugin.models.inputs import HuWindow, ModelInput, Volumetric

#: The slice-wise network that the figures are told beside.
BESIDE = "ct-segment-compact"
#: The window of Jin et al. 2020 for lesions.
LOW, HIGH = -1024.0, 350.0
MEAN, STD = 0.25, 0.35
#: How much the coarser heads count beside the last.
_DEEP = 0.3


class VolumeTrainer(SegmentTrainer):
    """Trains on patches of volumes, with a loss at each depth of U-Net++; others have one head."""

    LAYOUT = torch.contiguous_format

    def prepared(self, image: Tensor) -> Tensor:
        """Patches are the network's input as they are."""
        return image

    def lost(self, answer: Tensor, target: Tensor, known: Tensor) -> Tensor:
        """The last head's loss and a share of the others', where there are others."""
        heads = answer if answer.dim() > target.dim() else answer[None]
        *coarse, result = (self.loss(head.float(), target, known) for head in heads)
        return result + _DEEP * torch.stack(coarse).mean() if coarse else result


@dataclass(frozen=True, kw_only=True)
class VolumeModel(CtSegmenter):
    """A network that segments findings in patches (depth, rows, columns) of ``spacing`` mm."""

    SEED: ClassVar[int] = 21
    VERSION: ClassVar[str] = "1.1.0"

    spacing: tuple[float, float, float]
    patch: tuple[int, int, int]
    margin: float

    @property
    def input(self) -> ModelInput:
        """Patches of the lungs' box."""
        return ModelInput(
            name="image",
            shape=(1, 1, *self.patch),
            intensity=HuWindow(low=LOW, high=HIGH),
            mean=(MEAN,),
            std=(STD,),
            volume=Volumetric(spacing=self.spacing, overlap=OVERLAP, crop="lungs", margin=self.margin),
        )

    def begun(self, checkpoint: Path) -> VolumeTrainer:
        """A trainer of patches."""
        return VolumeTrainer(self.build(), self.plan, MEAN, STD, checkpoint)

    def sampler(self, names: Sequence[str], seed: int, device: torch.device | None = None) -> PatchSampler:
        """Training patches of these volumes, on a device: the trainer's, where none is said."""
        return PatchSampler(self.stored(names), self.patch, seed, device or best_device())

    def stored(self, names: Sequence[str]) -> list[Stored]:
        """These volumes on the network's grid."""
        return [load_stored(n, spacing=self.spacing, margin=self.margin, low=LOW, high=HIGH) for n in names]

    def keep(self, name: str, layers: Mapping[str, Bytes]) -> None:
        """Put a volume that comes from elsewhere where :meth:`stored` looks first."""
        path = cache_of(name, spacing=self.spacing, margin=self.margin, low=LOW, high=HIGH)
        np.savez(path, image=layers["image"], lesion=layers["lesion"], lung=layers["lung"])

    def reader(self, part: int | str) -> VolumeReader:
        """Reads whole volumes as the plugin does."""
        folder = runs_folder(self.name) / f"{part}"
        write_graph(
            self.trained(part), folder, shape=self.input.shape, outputs=["logits"], mean=[MEAN], std=[STD]
        )
        predict = in_onnx_runtime(folder / "model.onnx")
        return VolumeReader(predict, self.spacing, self.patch, self.margin, LOW, HIGH, MEAN, STD)

    def train(self) -> None:
        """As every segmenter of CT; and the small slice-wise networks that find lungs for the figures."""
        super().train()
        ct_joined_share.train()

    def evaluate(self) -> Measured:
        """TRAIN on the volumes of its folds and on the DICOM chest, beside the slice-wise network."""
        readers = {fold: self.reader(fold) for fold in self.folds}
        return measure(readers, BESIDE, f"python -m export evaluate {self.name}")

    def outputs(self, thresholds: Mapping[str, float]) -> tuple[ModelOutput, ...]:
        """Findings alone."""
        return text.outputs(thresholds)

    def words(self, measured: Measured, /) -> dict[str, str]:
        """Of the volumetric networks."""
        return {
            "training_data": self.trained_on(text.DATA),
            "intended_use": text.INTENDED_USE,
            "limits": text.limits(measured, BESIDE),
            "licence": text.LICENCE,
        }


COMPACT = VolumeModel(
    name="ct-segment-unetpp-compact",
    title="CT findings, 3-D U-Net++, compact",
    architecture=(
        "3-D U-Net++ (MONAI's BasicUNetPlusPlus, widths 16 to 96, instance norm, deep supervision) on "
        "voxels folded 2 x 2 in plane; patches of 32 x 128 x 160 at (2.5, 1.5, 1.5) mm"
    ),
    build=unetpp.compact,
    spacing=(2.5, 1.5, 1.5),
    patch=(32, 128, 160),
    margin=10.0,
    plan=Plan(steps=700, batch=2, rate=1.5e-3, warmup=50, average=0.99),
    default_rank=30,
)
MODELS = (
    COMPACT,
    VolumeModel(
        name="ct-segment-unetpp",
        title="CT findings, 3-D U-Net++, as published",
        architecture=(
            "3-D U-Net++ (MONAI's BasicUNetPlusPlus with its own widths, instance norm, deep supervision); "
            "patches of 128 x 256 x 256 at (2.5, 1, 1) mm"
        ),
        build=unetpp.published,
        spacing=(2.5, 1.0, 1.0),
        patch=unetpp.PUBLISHED_PATCH,
        margin=10.0,
        plan=Plan(steps=20_000, batch=1, rate=1e-4),
        default_rank=40,
    ),
)
"""The published one needs a GPU and hours: it is defined, and does not ship."""
