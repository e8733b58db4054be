"""Are a CT's segmented lesions opacities as in COVID-19 pneumonia? A 3-D network on them and their mask,
as Jin et al. 2020 have it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from export.data import ct, ct_segmented
from export.data.ct_segmented_pool import measuring_pool
from export.measured import Measured
from export.model_folder import classifier_outputs, write_model
from export.models import ct_class_volume_text, ct_joined_share, ct_lung_text
from export.models.ct_class_volume_measure import measure
from export.models.ct_class_volume_train import MEAN, PLAN, STD, train_parts, trained
from export.models.ct_segment_measure import Reader
from export.networks import volume_classes
from export.training import PROD, Plan
from plugin.domain.kinds import Modality
from plugin.models.inputs import HuWindow, ModelInput, Volumetric


@dataclass(frozen=True, kw_only=True)
class SegmentedVolumeModel:
    """A network on segmented volumes, trained without each fold (TRAIN), then on all (PROD)."""

    name: str
    title: str
    architecture: str
    build: Callable[[], nn.Module]
    plan: Plan
    default_rank: int

    @property
    def input(self) -> ModelInput:
        """How the plugin makes the network's input."""
        return ModelInput(
            name="volume",
            shape=(1, volume_classes.CHANNELS, *ct_segmented.SHAPE),
            intensity=HuWindow(low=ct_segmented.LOW, high=ct_segmented.HIGH),
            mean=(MEAN,) * volume_classes.CHANNELS,
            std=(STD,) * volume_classes.CHANNELS,
            volume=Volumetric(
                spacing=ct_segmented.SPACING,
                crop="lungs",
                margin=ct_segmented.MARGIN,
                context=ct_segmented.CONTEXT,
            ),
        )

    def train(self) -> None:
        """The volumes on the grid, marked by segmenters that never saw them; TRAIN; PROD. Resumable."""
        prepare()
        train_parts(self.name, self.build, self.plan, workers=os.cpu_count() or 1)

    def network(self, part: int | str) -> nn.Module:
        """TRAIN without a fold, or PROD. Raises FileNotFoundError before training."""
        return trained(self.name, self.build, self.plan, part)

    def evaluate(self) -> Measured:
        """Figures by patients left out, and what the score owes to other things than the lesions."""
        prepare()
        pool = measuring_pool(ct_segmented.volumes(), workers=os.cpu_count() or 1)
        networks = {fold: self.network(fold) for fold in range(ct.FOLDS)}
        return measure(networks, pool, f"./run export evaluate {self.name}")

    def onnx(self, measured: Measured) -> Path:
        """Write graph and card of the PROD network."""
        classes = ct_lung_text.classes(measured.thresholds)
        return write_model(
            self.network(PROD),
            name=self.name,
            version="1.0.0",
            task="classify",
            modality=Modality.CT,
            default_rank=self.default_rank,
            spec=self.input,
            outputs=classifier_outputs(classes, measured.temperature, shown=classes),
            measured=measured,
            words=ct_class_volume_text.card(self.title, self.architecture, measured),
        )


def prepare() -> None:
    """Put every chest on the network's grid, with what a segmenter marks there that never saw the patient."""
    missing = [n for n in ct_segmented.volumes() if not (ct_segmented.files() / f"{n}.npz").exists()]
    if missing:
        ct_joined_share.train()
    readers: dict[int, Reader] = {}
    for name in missing:
        ct_segmented.keep(ct.load_volume(name), ct_joined_share.marked(name, readers))


MODELS = (
    SegmentedVolumeModel(
        name="ct-class-volume-compact",
        title="CT findings in the segmented volume, compact",
        architecture=(
            "3-D ResNet (MONAI's, three stages of basic blocks, 16 to 64 channels), linear head on its "
            "pooled features; lesions and their mask, 64 x 80 x 112 at (5, 3, 3) mm"
        ),
        build=volume_classes.compact,
        plan=PLAN,
        default_rank=30,
    ),
    SegmentedVolumeModel(
        name="ct-class-volume-resnet50",
        title="CT findings in the segmented volume, ResNet-50",
        architecture=(
            "3-D ResNet-50 as published (MONAI's), linear head on its pooled features; lesions and their "
            "mask, 64 x 80 x 112 at (5, 3, 3) mm"
        ),
        build=volume_classes.published,
        plan=Plan(steps=10_000, batch=16, rate=1e-4),
        default_rank=40,
    ),
)
"""The published one needs a GPU and hours: it is defined, and does not ship."""
