"""CT segmentation: lungs and findings, slice by slice."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from export.data import ct
from export.data.ct_projections import HIGH, LOW
from export.data.ct_segment import Sampler, load_medseg, load_set
from export.measured import Measured
from export.models import ct_segment_text as text
from export.models.ct_segment_measure import Reader, measure
from export.models.ct_segment_train import Plan, Trainer
from export.networks import efficientdet
from export.networks.lite import MEAN, STD
from export.networks.published import UNFINISHED
from export.onnx_writer import write_card, write_graph
from export.paths import ONNX_MODELS, runs_folder
from plugin.domain.kinds import Modality
from plugin.models.cards import Card
from plugin.models.inputs import HuWindow, ModelInput, Resize

_log = logging.getLogger(__name__)
SEED = 20
PROD = "prod"


@dataclass(frozen=True)
class SegmentModel:
    """A segmentation network of one architecture and input size (pixels, square).

    ``folds``: those of which a network without their patients is trained and measured (TRAIN); PROD is
    trained on all patients for as many steps. ``limits``: what the card says first of its limits.
    """

    name: str
    title: str
    architecture: str
    build: Callable[[], nn.Module]
    size: int
    batch: int
    plan: Plan
    default_rank: int
    folds: tuple[int, ...] = tuple(range(ct.FOLDS))
    limits: str = ""

    def trainer(self, part: int | str) -> Trainer:
        """The trainer of a fold or of PROD."""
        torch.manual_seed(SEED)
        return Trainer(self.build(), self.plan, MEAN[0], STD[0], self._checkpoint(part))

    def _checkpoint(self, part: int | str) -> Path:
        return runs_folder(self.name) / (f"{part}.pt" if part == PROD else f"fold-{part}.pt")

    def trained(self, part: int | str) -> nn.Module:
        """The averaged network of a fold or of PROD.

        Raises FileNotFoundError where it is not trained to the end.
        """
        trainer = self.trainer(part)
        if trainer.step < self.plan.steps:
            raise FileNotFoundError(f"{self.name}, {part}: trained {trainer.step} of {self.plan.steps} steps")
        return trainer.averaged()

    def sampler(self, names: Iterable[str], seed: int) -> Sampler:
        """Training slices of these volumes and the MedSeg set."""
        sets = [load_set(name, self.size, LOW, HIGH) for name in names]
        return Sampler([*sets, load_medseg(self.size, LOW, HIGH)], seed)

    def train(self) -> None:
        """TRAIN on the patients outside each fold, then PROD on all but the DICOM chest; resumable."""
        parts: list[int | str] = [*self.folds, PROD]
        for part in parts:
            trainer = self.trainer(part)
            if trainer.step < self.plan.steps:
                _log.info("%s: training %s", self.name, part)
                inside = [n for n in ct.chest_names() if part == PROD or ct.fold_of(n) != part]
                trainer.run(self.sampler(inside, SEED))

    def reader(self, part: int | str) -> Reader:
        """Reads whole volumes as the plugin does."""
        return Reader(self.trained(part), self.size, LOW, HIGH, MEAN[0], STD[0])

    def evaluate(self) -> Measured:
        """TRAIN on the volumes of its folds, the DICOM chest and the slices with expert lungs."""
        readers = {fold: self.reader(fold) for fold in self.folds}
        return measure(readers, f"python -m export evaluate {self.name}")

    def onnx(self, measured: Measured) -> Path:
        """Write PROD to ``onnx_models``."""
        folder, shape = ONNX_MODELS / self.name, (self.batch, 3, self.size, self.size)
        exported = write_graph(
            self.trained(PROD), folder, shape=shape, outputs=["logits"], mean=MEAN, std=STD, half=True
        )
        spec = ModelInput(
            name="image",
            shape=shape,
            intensity=HuWindow(low=LOW, high=HIGH),
            resize=Resize(mode="stretch"),
            mean=MEAN,
            std=STD,
        )
        card = Card(
            name=self.name,
            version="1.1.0",
            title=self.title,
            task="segment",
            modality=Modality.CT,
            default_rank=self.default_rank,
            sha256=exported.sha256,
            architecture=self.architecture,
            manufacturer="orthanc-chest-ai",
            input=spec,
            outputs=text.outputs(measured.thresholds),
            training_data=text.DATA + text.PROD.format(count=len(self.folds), folds=ct.FOLDS),
            training_licence=text.TRAINING_LICENCE,
            figures=measured.figures,
            shortcut_checks=measured.shortcut_checks,
            intended_use=text.INTENDED_USE,
            limits=self.limits + text.LIMITS,
            licence=text.LICENCE,
            self_test=exported.self_test,
        )
        return write_card(card, folder)


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
