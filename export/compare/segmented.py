"""The class of a segmented volume: ResNet-50, Inception, DPN and attention ResNet, in 3-D and compact."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from export.compare.pace import seconds_of
from export.compare.patients import COUNTED, teachers, with_covid
from export.compare.task import Case, Network
from export.data import ct, ct_segmented
from export.data.ct_segment import Batch
from export.data.ct_segmented_pool import CaseSampler, measuring_pool, training_pool
from export.figures import Array, Labels, auc
from export.models.ct_class_volume_train import MEAN, PLAN, SEED, STD, ClassTrainer, read
from export.models.ct_segment_train import SegmentTrainer
from export.networks import volume_classes
from export.training import Batches, Plan

_NETWORKS = {
    "resnet": Network("ResNet-50", volume_classes.resnet),
    "inception": Network("Inception", volume_classes.inception),
    "dpn": Network("DPN", volume_classes.dual_path),
    "attention-resnet": Network("Attention ResNet", volume_classes.attention_resnet),
    "compact": Network("ResNet of basic blocks, as shipped", volume_classes.compact),
}


@dataclass(frozen=True)
class ClassTask:
    """The task ``class``: slabs of COVID-19 patients left out, with and without lesions, over the masks of a
    segmenter that never saw them. Within patients the source of a scan tells nothing."""

    name: str = "class"
    title: str = "Class of the segmented volume"
    measure: str = "slab AUC within patients with COVID-19"
    counted: str = COUNTED
    networks: Mapping[str, Network] = field(default_factory=lambda: _NETWORKS)
    plan: Plan = PLAN

    def patients(self, fold: int, cases: int | None) -> list[str]:
        """Those with COVID-19, both collections in turn, and all without."""
        return teachers(fold, cases)

    def taught(self, patients: Sequence[str]) -> int:
        """How many of them have COVID-19."""
        return len(with_covid(patients))

    def begun(self, network: nn.Module, plan: Plan, checkpoint: Path) -> SegmentTrainer:
        """A trainer of the class."""
        return ClassTrainer(network, plan, checkpoint)

    def sampler(self, patients: Sequence[str], seed: int, device: torch.device) -> Batches[Batch]:
        """Cases, the same as the shipped network learns from; ``seed`` draws them into batches."""
        pool = training_pool(patients, seed=SEED, workers=os.cpu_count() or 1)
        return CaseSampler(pool, seed, device)

    def judged(self, network: nn.Module, fold: int, device: torch.device) -> list[Case]:
        """The score of each slab of the fold's patients with COVID-19."""
        pool = measuring_pool(with_covid(ct.held_out(fold)), workers=os.cpu_count() or 1)
        pool = pool.at(pool.kind == "slab")
        logit = read(network.to(device), pool.channels)
        return [
            Case(patient=str(name), score=float(score), label=int(label))
            for name, score, label in zip(pool.name, 1 / (1 + np.exp(-logit)), pool.label, strict=True)
        ]

    def statistic(self, labels: Labels, scores: Array) -> float:
        """The area under the ROC curve."""
        return auc(labels, scores)

    def seconds(self, network: nn.Module) -> float:
        """ONNX Runtime over one volume; the segmentation before it is not counted."""
        channels = volume_classes.CHANNELS
        return seconds_of(
            network,
            shape=(1, channels, *ct_segmented.SHAPE),
            outputs=["logits", "attention"],
            mean=(MEAN,) * channels,
            std=(STD,) * channels,
        )


TASK = ClassTask()
