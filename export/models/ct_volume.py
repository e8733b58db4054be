"""CT segmentation by volumes: findings by a 3-D U-Net++, inside the lungs that a slice-wise network finds."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from export.data import ct
from export.data.ct_patches import PatchSampler, load_stored
from export.measured import Measured
from export.models import ct_volume_text as text
from export.models.ct_segment_text import PROD as PROD_TEXT
from export.models.ct_segment_text import TRAINING_LICENCE
from export.models.ct_segment_train import Plan, Trainer
from export.models.ct_volume_measure import OVERLAP, VolumeReader, measure
from export.networks import unetpp
from export.onnx_writer import write_card, write_graph
from export.paths import ONNX_MODELS, runs_folder
from plugin.domain.kinds import Modality
from plugin.models.cards import Card
from plugin.models.inputs import HuWindow, ModelInput, Volumetric

_log = logging.getLogger(__name__)
SEED = 21
PROD = "prod"
#: The slice-wise network that the figures are told beside.
BESIDE = "ct-segment-compact"
#: The window of Jin et al. 2020 for lesions.
LOW, HIGH = -1024.0, 350.0
MEAN, STD = 0.25, 0.35
#: How much the coarser heads count beside the last.
_DEEP = 0.3


class VolumeTrainer(Trainer):
    """Trains on patches of volumes, with a loss at each depth of U-Net++."""

    LAYOUT = torch.contiguous_format

    def prepared(self, image: Tensor) -> Tensor:
        """Patches are the network's input as they are."""
        return image

    def lost(self, answer: Tensor, target: Tensor, known: Tensor) -> Tensor:
        """The last head's loss and a share of the others'."""
        losses = [self.loss(head.float(), target, known) for head in answer]
        result: Tensor = losses[-1] + _DEEP * torch.stack(losses[:-1]).mean()
        return result


@dataclass(frozen=True)
class VolumeModel:
    """A network that segments findings in patches (depth, rows, columns) of ``spacing`` mm.

    ``folds``: those of which a network without their patients is trained and measured (TRAIN); PROD is
    trained on all patients for as many steps.
    """

    name: str
    title: str
    architecture: str
    build: Callable[[], nn.Module]
    spacing: tuple[float, float, float]
    patch: tuple[int, int, int]
    margin: float
    plan: Plan
    default_rank: int
    folds: tuple[int, ...]

    def _trainer(self, part: int | str) -> VolumeTrainer:
        torch.manual_seed(SEED)
        checkpoint = runs_folder(self.name) / (f"{part}.pt" if part == PROD else f"fold-{part}.pt")
        return VolumeTrainer(self.build(), self.plan, MEAN, STD, checkpoint)

    def trained(self, part: int | str) -> nn.Module:
        """The averaged network of a fold or of PROD.

        Raises FileNotFoundError where it is not trained to the end.
        """
        trainer = self._trainer(part)
        if trainer.step < self.plan.steps:
            raise FileNotFoundError(f"{self.name}, {part}: trained {trainer.step} of {self.plan.steps} steps")
        return trainer.averaged()

    def train(self) -> None:
        """TRAIN on the patients outside each fold, then PROD on all but the DICOM chest; resumable."""
        parts: list[int | str] = [*self.folds, PROD]
        for part in parts:
            trainer = self._trainer(part)
            if trainer.step < self.plan.steps:
                _log.info("%s: training %s", self.name, part)
                inside = [n for n in ct.chest_names() if part == PROD or ct.fold_of(n) != part]
                volumes = [
                    load_stored(n, spacing=self.spacing, margin=self.margin, low=LOW, high=HIGH)
                    for n in inside
                ]
                trainer.run(PatchSampler(volumes, self.patch, SEED))

    def reader(self, part: int | str) -> VolumeReader:
        """Reads whole volumes as the plugin does."""
        return VolumeReader(self.trained(part), self.spacing, self.patch, self.margin, LOW, HIGH, MEAN, STD)

    def evaluate(self) -> Measured:
        """TRAIN on the volumes of its folds and on the DICOM chest, beside the slice-wise network."""
        readers = {fold: self.reader(fold) for fold in self.folds}
        return measure(readers, BESIDE, f"python -m export evaluate {self.name}")

    def onnx(self, measured: Measured) -> Path:
        """Write PROD to ``onnx_models``."""
        folder, shape = ONNX_MODELS / self.name, (1, 1, *self.patch)
        exported = write_graph(
            self.trained(PROD), folder, shape=shape, outputs=["logits"], mean=[MEAN], std=[STD], half=True
        )
        spec = ModelInput(
            name="image",
            shape=shape,
            intensity=HuWindow(low=LOW, high=HIGH),
            mean=(MEAN,),
            std=(STD,),
            volume=Volumetric(spacing=self.spacing, overlap=OVERLAP, crop="lungs", margin=self.margin),
        )
        card = Card(
            name=self.name,
            version="1.0.0",
            title=self.title,
            task="segment",
            modality=Modality.CT,
            default_rank=self.default_rank,
            sha256=exported.sha256,
            architecture=self.architecture,
            manufacturer="orthanc-chest-ai",
            input=spec,
            outputs=text.outputs(measured.thresholds),
            training_data=text.DATA + PROD_TEXT.format(count=len(self.folds), folds=ct.FOLDS),
            training_licence=TRAINING_LICENCE,
            figures=measured.figures,
            intended_use=text.INTENDED_USE,
            limits=text.limits(measured, BESIDE),
            licence=text.LICENCE,
            self_test=exported.self_test,
        )
        return write_card(card, folder)


MODELS = (
    VolumeModel(
        name="ct-segment-unetpp-compact",
        title="CT findings, 3-D U-Net++, compact",
        architecture=(
            "3-D U-Net++ (MONAI's BasicUNetPlusPlus, widths 16 to 96, instance norm, deep supervision) on "
            "voxels folded 2 x 2 in plane; patches of 32 x 96 x 128 at (2.5, 2, 2) mm"
        ),
        build=unetpp.compact,
        spacing=(2.5, 2.0, 2.0),
        patch=(32, 96, 128),
        margin=10.0,
        plan=Plan(steps=320, batch=1, rate=1.5e-3, warmup=30, average=0.99, save_every=10),
        default_rank=30,
        folds=(0,),
    ),
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
        folds=tuple(range(ct.FOLDS)),
    ),
)
"""The published one needs a GPU and hours: it is defined, and does not ship."""
