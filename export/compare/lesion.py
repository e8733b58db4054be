"""Findings in 3-D: FCN-8s, U-Net, V-Net and U-Net++ on the grid of the compact volumetric segmenter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from export.compare.pace import seconds_of
from export.compare.patients import COUNTED, teachers, with_covid
from export.compare.task import Case, Network
from export.data import ct
from export.data.ct_patches import Stored
from export.data.ct_segment import Batch
from export.figures import Array, Labels
from export.models.ct_segment_measure import SMALLEST_FINDINGS_ML, dice
from export.models.ct_segment_train import SegmentTrainer
from export.models.ct_volume import COMPACT, MEAN, STD, VolumeTrainer
from export.models.ct_volume_measure import FINDINGS_THRESHOLD, OVERLAP
from export.networks import unetpp, volumetric
from export.training import Batches, Plan, in_bfloat16
from plugin.analysis.volumetric import slide, starts

_NETWORKS = {
    "fcn8s": Network("FCN-8s", volumetric.fcn8s),
    "unet": Network("U-Net", volumetric.unet),
    "vnet": Network("V-Net", volumetric.vnet),
    "unetpp": Network("3-D U-Net++", unetpp.compact),
}
#: The compact segmenter on patches that are small enough for an experiment on two cores.
MODEL = replace(COMPACT, patch=(32, 64, 96))
#: Patches that a GPU reads at once; they are small.
_READ_BATCH = 8


@dataclass(frozen=True)
class LesionTask:
    """The task ``lesion``: whole volumes of patients left out are read patch by patch.

    Dice is told on the network's grid, against the expert's mask on that grid, so that what the grid and
    the lungs' outline cost is not counted.
    """

    name: str = "lesion"
    title: str = "Findings in 3-D"
    measure: str = "findings Dice, mean over volumes"
    counted: str = COUNTED
    networks: Mapping[str, Network] = field(default_factory=lambda: _NETWORKS)
    plan: Plan = MODEL.plan

    def patients(self, fold: int, cases: int | None) -> list[str]:
        """Those with COVID-19, both collections in turn, and all without."""
        return teachers(fold, cases)

    def taught(self, patients: Sequence[str]) -> int:
        """How many of them have COVID-19."""
        return len(with_covid(patients))

    def begun(self, network: nn.Module, plan: Plan, checkpoint: Path) -> SegmentTrainer:
        """A trainer of patches."""
        return VolumeTrainer(network, plan, MEAN, STD, checkpoint)

    def sampler(self, patients: Sequence[str], seed: int, device: torch.device) -> Batches[Batch]:
        """Patches, as the shipped network learns from."""
        return MODEL.sampler(patients, seed, device)

    def judged(self, network: nn.Module, fold: int, device: torch.device) -> list[Case]:
        """Dice of each patient of the fold with findings of a millilitre and more."""
        network = network.to(device)
        voxel = float(np.prod(MODEL.spacing)) / 1000
        return [
            Case(patient=stored.name, score=dice(read(network, stored, device), stored.lesion > 127))
            for stored in MODEL.stored(with_covid(ct.held_out(fold)))
            if (stored.lesion > 127).sum() * voxel >= SMALLEST_FINDINGS_ML
        ]

    def statistic(self, _labels: Labels, scores: Array) -> float:
        """The mean Dice."""
        return float(scores.mean())

    def seconds(self, network: nn.Module) -> float:
        """ONNX Runtime over as many patches as a volume of a patient with COVID-19 has on average."""
        once = seconds_of(network, shape=(1, 1, *MODEL.patch), outputs=["logits"], mean=[MEAN], std=[STD])
        shapes = [stored.image.shape for stored in MODEL.stored(ct.covid_names())]
        return once * float(np.mean([patches(shape) for shape in shapes]))


def patches(shape: Sequence[int]) -> int:
    """How many patches the sliding window reads in a volume of this shape."""
    counts = [len(starts(length, side, OVERLAP)) for length, side in zip(shape, MODEL.patch, strict=True)]
    return int(np.prod(counts))


def read(network: nn.Module, stored: Stored, device: torch.device) -> npt.NDArray[np.bool_]:
    """The findings of a volume on the network's grid."""

    def predict(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        with torch.inference_mode(), in_bfloat16(device):
            logits = network(torch.from_numpy(values).to(device))
        return np.asarray(torch.sigmoid(logits.float()).cpu())

    image = (stored.image.astype(np.float32) / np.float32(255) - np.float32(MEAN)) / np.float32(STD)
    (found,) = slide(
        image[None],
        predict=predict,
        patch=MODEL.patch,
        batch=_READ_BATCH if device.type == "cuda" else 1,
        overlap=OVERLAP,
        outside=[-MEAN / STD],
        classes=[(0, FINDINGS_THRESHOLD)],
    )
    return found


TASK = LesionTask()
