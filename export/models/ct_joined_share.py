"""The share of lung that a segmenter marks in patients whom it never saw, block by block.

The folds of the shipped segmenter take hours on two cores. One of its architecture, smaller and with its
trunk as ImageNet left it, takes minutes, and stands in for it; it marks rather less.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from export.data import ct
from export.data.ct_marked import Marked, Mask, kept
from export.figures import Array
from export.models.ct_lung_table import Table
from export.models.ct_segment import SEED, SegmentModel
from export.models.ct_segment_measure import Reader
from export.models.ct_segment_train import SegmentTrainer
from export.networks import efficientdet
from export.paths import runs_folder
from export.training import Plan

_SIZE, _WIDTH = 128, 48
#: Batches over which the normalisation of a short training is settled.
_SETTLING, _BATCH, _SETTLING_SEED = 30, 8, 99


def _frozen() -> nn.Module:
    network = efficientdet.compact(_SIZE, _WIDTH)
    network.trunk.requires_grad_(False)
    return network


QUICK = SegmentModel(
    name="ct-segment-quick",
    title="CT lungs and findings, for measuring",
    architecture="As ct-segment-compact, 128 x 128, trunk as ImageNet left it",
    build=_frozen,
    size=_SIZE,
    batch=_BATCH,
    plan=Plan(steps=250, warmup=40, average=0.98, rate=3e-3),
    default_rank=1000,
)


def _inside(fold: int) -> list[str]:
    return [name for name in ct.chest_names() if ct.fold_of(name) != fold]


def train() -> None:
    """A segmenter without each fold; goes on from the last checkpoint."""
    for fold in range(ct.FOLDS):
        trainer: SegmentTrainer = QUICK.trainer(fold)
        if not trainer.finished:
            trainer.run(QUICK.sampler(_inside(fold), SEED))


def reader(fold: int) -> Reader:
    """Reads whole volumes by the segmenter without ``fold``, its normalisation settled on training slices."""
    found = QUICK.reader(fold)
    sampler = QUICK.sampler(_inside(fold), _SETTLING_SEED)
    norms = [layer for layer in found.network.modules() if isinstance(layer, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    found.network.train()
    with torch.no_grad():
        for step in range(_SETTLING):
            image = (sampler.batch(step, _BATCH).image - found.mean) / found.std
            found.network(image.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last))
    found.network.eval()
    return found


def percent(rows: Table) -> Array:
    """For each row the percentage of its block's lung that is marked, by who never saw the patient."""
    found = np.zeros(len(rows.label))
    readers: dict[int, Reader] = {}
    for name in dict.fromkeys(rows.name.tolist()):
        masks = marked(name, readers)
        for row in np.flatnonzero(rows.name == name):
            first, last, left, right = rows.block[row]
            part = (slice(first, last), slice(None), slice(left, right))
            lungs = int(masks.lungs[part].sum())
            found[row] = 100 * int(masks.opacities[part].sum()) / lungs if lungs else 0.0
    return found


def marked(name: str, readers: dict[int, Reader]) -> Marked:
    """The masks of a volume by the segmenter without its fold (the first for the DICOM chest); cached.

    ``readers``: those that are loaded, by fold; what is missing is added.
    """
    volume = ct.load_volume(name)

    def read() -> tuple[Mask, Mask]:
        fold = 0 if name == ct.DICOM_CHEST else ct.fold_of(name)
        if fold not in readers:
            readers[fold] = reader(fold)
        return readers[fold].read(volume.hu, volume.spacing)

    return kept(runs_folder(QUICK.name) / f"{name}.npz", volume, read)
