"""Training and reading of networks that tell the class of a segmented volume, on CPU or GPU."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from export.data import ct
from export.data.ct_segmented_pool import CaseSampler, training_pool
from export.models.ct_segment_train import SegmentTrainer
from export.training import PROD, Plan, best_device, checkpoint_of

_log = logging.getLogger(__name__)
SEED = 31
#: Of the compact networks.
PLAN = Plan(steps=900, batch=16, rate=2e-3, warmup=40, weight_decay=2e-2, average=0.98)

#: The channels are in [0, 1], most of them 0, and stay so.
MEAN, STD = 0.0, 1.0
_READ_BATCH = 16
_SMOOTHING = 0.02


class ClassTrainer(SegmentTrainer):
    """Trains on segmented volumes (N, 2, D, H, W) with labels (N,)."""

    LAYOUT = torch.channels_last_3d

    def __init__(self, network: nn.Module, plan: Plan, checkpoint: Path) -> None:
        super().__init__(network, plan, MEAN, STD, checkpoint)

    def prepared(self, image: Tensor) -> Tensor:
        """The volumes as the network's input."""
        return image.contiguous(memory_format=torch.channels_last_3d)

    def lost(self, answer: tuple[Tensor, Tensor], target: Tensor, known: Tensor) -> Tensor:
        """Cross entropy of the class, its labels smoothed: some cases are of the other."""
        logits, _ = answer
        each = functional.cross_entropy(logits.float(), target, label_smoothing=_SMOOTHING, reduction="none")
        return (each * known).mean()


def train_parts(
    name: str, build: Callable[[], nn.Module], plan: Plan, *, seconds: float = math.inf, workers: int = 1
) -> None:
    """TRAIN without the patients of each fold, then PROD on all but the DICOM chest; resumable.

    Each ends with the plan's steps or after ``seconds``. ``workers`` processes make the cases.
    """
    pool = training_pool(ct.chest_names(), seed=SEED, workers=workers)
    for part in (*range(ct.FOLDS), PROD):
        torch.manual_seed(SEED)
        trainer = ClassTrainer(build(), plan, checkpoint_of(name, part))
        if not trainer.finished:
            _log.info("%s: training %s", name, part)
            outside = pool.fold != (ct.FOLDS if part == PROD else part)
            trainer.run(CaseSampler(pool.at(outside), SEED, trainer.device), seconds)


def trained(name: str, build: Callable[[], nn.Module], plan: Plan, part: int | str) -> nn.Module:
    """The averaged network of a fold or of PROD. FileNotFoundError where it is not trained to the end."""
    return ClassTrainer(build(), plan, checkpoint_of(name, part)).trained()


def read(network: nn.Module, channels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """For each case (n, 2, D, H, W) in bytes the log odds (n,) that it holds lesions."""
    device = best_device()
    network = network.to(device).eval()
    logits = []
    for start in range(0, len(channels), _READ_BATCH):
        volume = torch.from_numpy(channels[start : start + _READ_BATCH]).to(device).float() / 255
        with torch.inference_mode():
            answer = network(volume)[0].float().cpu().numpy()
        logits.append((answer[:, 1] - answer[:, 0]).astype(np.float64))
    network.cpu()
    return np.concatenate(logits)
