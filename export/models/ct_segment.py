"""CT segmentation: lungs and findings, slice by slice."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from export.data import ct
from export.data.ct_segment import Sampler, load_medseg, load_set
from export.measured import Measured
from export.models.ct_segment_card import write_model
from export.models.ct_segment_measure import Reader, measure
from export.models.ct_segment_train import Plan, Trainer
from export.networks import efficientdet
from export.networks.lite import MEAN, STD
from export.paths import runs_folder

_log = logging.getLogger(__name__)
#: The fold whose patients TRAIN never sees.
FOLD = 1
#: The window ends where the 8-bit sources still tell soft tissue from bone.
LOW, HIGH = -1024.0, 200.0
SEED = 20


@dataclass(frozen=True)
class SegmentModel:
    """A segmentation network of one architecture and input size (pixels, square)."""

    name: str
    title: str
    architecture: str
    build: Callable[[], nn.Module]
    size: int
    batch: int
    train_plan: Plan
    prod_plan: Plan
    default_rank: int

    def trainer(self, part: str) -> Trainer:
        """The trainer of ``train`` or ``prod``; PROD starts from TRAIN's averaged weights."""
        folder = runs_folder(self.name)
        plan = self.train_plan if part == "train" else self.prod_plan
        network = self.build()
        if part == "prod" and not (folder / "prod.pt").exists():
            network.load_state_dict(self.trained("train").state_dict())
        return Trainer(network, plan, MEAN[0], STD[0], folder / f"{part}.pt")

    def trained(self, part: str) -> nn.Module:
        """The averaged network of ``train`` or ``prod`` as far as it has been trained.

        Raises FileNotFoundError where there is no checkpoint.
        """
        checkpoint = runs_folder(self.name) / f"{part}.pt"
        if not checkpoint.exists():
            raise FileNotFoundError(f"{checkpoint}: {self.name} is not trained yet")
        return Trainer(self.build(), self.train_plan, MEAN[0], STD[0], checkpoint).averaged()

    def sampler(self, names: Iterable[str], seed: int) -> Sampler:
        """Training slices of these volumes and the MedSeg set."""
        sets = [load_set(name, self.size, LOW, HIGH) for name in names]
        return Sampler([*sets, load_medseg(self.size, LOW, HIGH)], seed)

    def train(self) -> None:
        """TRAIN on the patients outside FOLD, then PROD on all but the DICOM chest; resumable."""
        outside = [n for n in ct.chest_names() if ct.fold_of(n) != FOLD]
        trainer = self.trainer("train")
        if trainer.step < trainer.plan.steps:
            trainer.run(self.sampler(outside, SEED))
        trainer = self.trainer("prod")
        if trainer.step < trainer.plan.steps:
            trainer.run(self.sampler(ct.chest_names(), SEED + 1))

    def reader(self, part: str) -> Reader:
        """Reads whole volumes as the plugin does."""
        return Reader(self.trained(part), self.size, LOW, HIGH, MEAN[0], STD[0])

    def evaluate(self) -> Measured:
        """TRAIN on the volumes of FOLD, the DICOM chest and the slices with expert lungs."""
        return measure(self.reader("train"), FOLD, f"python -m export evaluate {self.name}")

    def onnx(self, measured: Measured) -> Path:
        """Write PROD, or TRAIN while there is no PROD, to ``onnx_models``."""
        part = "prod" if (runs_folder(self.name) / "prod.pt").exists() else "train"
        return write_model(self, self.trained(part), part, measured)


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
        train_plan=Plan(steps=1350),
        prod_plan=Plan(steps=200, rate=5e-4, warmup=20),
        default_rank=10,
    ),
    SegmentModel(
        name="ct-segment-full",
        title="CT lungs and findings, as published",
        architecture=(
            "Modified EfficientDet as published: EfficientNet-B4 trunk to /8, BiFPN of 3 cells x 128 "
            "channels, expand, head of 3 separable convolutions, 512 x 512"
        ),
        build=efficientdet.published,
        size=512,
        batch=1,
        train_plan=Plan(steps=20000),
        prod_plan=Plan(steps=20000),
        default_rank=20,
    ),
)
