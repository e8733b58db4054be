"""Two-class networks with an attention head, trained as a whole on labelled projections of CT volumes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from export.data.ct_projections import Sample
from export.data.rows import Rows
from export.networks.attention import AttentionClassifier
from export.networks.lite import MEAN, STD
from export.training import best_device, rate_share
from plugin.analysis import preprocess

_log = logging.getLogger(__name__)
LOG_EVERY = 25
#: Faster than ImageNet's, as the projections look unlike photographs and there are few steps.
BATCH_NORM_MOMENTUM = 0.05


@dataclass(frozen=True)
class Pictures(Rows):
    """Labelled projections: ``image`` uint8 (n, 1 or 3, size, size), ``label`` (n,), ``name``, ``kind``.

    ``measured``: as it may come from a scanner, so that figures are taken from it.
    """

    image: npt.NDArray[np.uint8]
    label: npt.NDArray[np.int64]
    name: npt.NDArray[np.str_]
    kind: npt.NDArray[np.str_]
    measured: npt.NDArray[np.bool_]

    @staticmethod
    def of(samples: Sequence[Sample], size: int) -> Pictures:
        """Samples resized as the plugin does it."""
        resized = np.stack([[preprocess.resize(p, size, size) for p in s.pictures] for s in samples])
        return Pictures(
            image=np.rint(resized * 255).astype(np.uint8),
            label=np.array([s.label for s in samples], dtype=np.int64),
            name=np.array([s.name for s in samples]),
            kind=np.array([s.kind for s in samples]),
            measured=np.array([s.measured for s in samples]),
        )


@dataclass(frozen=True)
class Plan:
    """How long a network is trained and with how much ``dropout`` of features."""

    steps: int
    batch: int = 32
    rate: float = 1e-3
    weight_decay: float = 1e-2
    dropout: float = 0.3
    smoothing: float = 0.05


Vary = Callable[[Tensor, torch.Generator], Tensor]


def normalised(image: npt.NDArray[np.uint8]) -> Tensor:
    """Bytes to values in [0, 1]."""
    return torch.from_numpy(image).float() / 255


def to_input(values: Tensor) -> Tensor:
    """(n, 1 or 3, H, W) in [0, 1] to the network's three channels."""
    picture = ((values - MEAN[0]) / STD[0]).expand(-1, 3, -1, -1)
    return picture.contiguous(memory_format=torch.channels_last)


def chances(pictures: Pictures) -> npt.NDArray[np.float64]:
    """How often each is drawn: both classes, and within a class every volume, equally often."""
    names, group = np.unique(np.char.add(pictures.name, pictures.label.astype(str)), return_inverse=True)
    odds = 1.0 / np.bincount(group, minlength=len(names))[group]
    for label in (0, 1):
        odds[pictures.label == label] /= odds[pictures.label == label].sum()
    return np.asarray(odds / odds.sum())


def finetune(
    network: AttentionClassifier, pictures: Pictures, plan: Plan, vary: Vary, seed: int
) -> AttentionClassifier:
    """The two-class ``network`` trained on ``pictures``, seeded, on the CPU and ready to infer."""
    torch.manual_seed(seed)
    network.dropout = nn.Dropout2d(plan.dropout)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = BATCH_NORM_MOMENTUM
    device = best_device()
    network = network.to(device, memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.rate, weight_decay=plan.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: rate_share(step, plan.steps, max(1, plan.steps // 20))
    )
    draw = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    odds, begun, total = chances(pictures), time.monotonic(), 0.0
    for step in range(1, plan.steps + 1):
        chosen = draw.choice(len(odds), size=plan.batch, p=odds)
        image = to_input(vary(normalised(pictures.image[chosen]), generator))
        logits, _ = network(image.to(device))
        target = torch.from_numpy(pictures.label[chosen]).to(device)
        loss = functional.cross_entropy(logits, target, label_smoothing=plan.smoothing)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        total += float(loss.detach())
        if step % LOG_EVERY == 0:
            pace = (time.monotonic() - begun) / step
            left = pace * (plan.steps - step)
            _log.info("step %d/%d loss %.3f, %.0f s left", step, plan.steps, total / LOG_EVERY, left)
            total = 0.0
    return network.cpu().eval()


def logits_of(network: AttentionClassifier, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Bytes (n, 1 or 3, H, W) to the difference of the second and the first class's logit (n,)."""
    found = []
    for part in normalised(image).split(32):
        with torch.inference_mode():
            logits, _ = network(to_input(part))
        found.append((logits[:, 1] - logits[:, 0]).numpy())
    return np.concatenate(found).astype(np.float64)
