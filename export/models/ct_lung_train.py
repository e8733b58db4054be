"""Training of the map of opacities over the lungs: what is trainable is small, and learns in a minute."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from export.data.balance import balanced
from export.data.ct_blocks import SIZE
from export.models.ct_lung_table import Features, Table
from export.networks.lite import MEAN, STD
from export.networks.lung_map import LungMapNetwork

_log = logging.getLogger(__name__)
Mask = npt.NDArray[np.bool_]
_BATCH = 64
_READ_BATCH = 128
_STANDARDISED_BY = 7


@dataclass(frozen=True)
class Plan:
    """``steps`` of AdamW at ``rate``; ``label``: the weight of the block's class beside its map; ``varied``:
    the share of batches of varied pictures."""

    steps: int = 500
    rate: float = 3e-3
    weight_decay: float = 1e-2
    label: float = 3.0
    varied: float = 0.6


@dataclass(frozen=True)
class Answers:
    """What networks say of rows: the logit (n,), and the map's (n, h, w)."""

    logit: npt.NDArray[np.float64]
    places: npt.NDArray[np.float32]


def start(*, pretrained: bool = True) -> LungMapNetwork:
    """The network before training."""
    return LungMapNetwork((SIZE, SIZE), MEAN[0], STD[0], pretrained=pretrained).eval()


def weights(table: Table) -> npt.NDArray[np.float64]:
    """How much each row counts (see :func:`export.data.balance.balanced`)."""
    return balanced(table.name, table.label, table.coverage)


def train(
    network: LungMapNetwork, table: Table, given: Features, chosen: Mask, *, plan: Plan, seed: int
) -> LungMapNetwork:
    """Train on the rows that are ``chosen``, seeded; the frozen part stays as it is."""
    torch.manual_seed(seed)
    rows = np.flatnonzero(chosen)
    sample = given.plain[torch.from_numpy(rows[::_STANDARDISED_BY])].float()
    network.centre.copy_(sample.mean(dim=(0, 2, 3)))
    network.spread.copy_(sample.std(dim=(0, 2, 3)) + 1e-3)
    counts = weights(table.at(chosen))
    trainable = [*network.read.parameters(), *network.whole.parameters()]
    optimiser = torch.optim.AdamW(trainable, lr=plan.rate, weight_decay=plan.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.rate, total_steps=plan.steps)
    draw = np.random.default_rng(seed)
    label = torch.from_numpy(table.label).float()
    network.read.train()
    for step in range(plan.steps):
        picked = torch.from_numpy(rows[draw.choice(len(rows), _BATCH, p=counts)])
        varied = draw.random() < plan.varied
        features = (given.varied if varied else given.plain)[picked].float()
        target = (given.target_varied if varied else given.target)[picked].float()
        loss = _loss(network, features, target, label[picked], plan.label)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 100 == 99:
            _log.info("step %d/%d loss %.3f", step + 1, plan.steps, float(loss.detach()))
    return network.eval()


def _loss(network: LungMapNetwork, features: Tensor, target: Tensor, label: Tensor, weight: float) -> Tensor:
    """Cross entropy of the map with the share of lesion, place by place as deep as the lung is there, and of
    the block's class."""
    logit, places = network.answer(features)
    depth = features[:, 2].clamp(min=0)
    depth = depth / depth.sum(dim=(1, 2), keepdim=True)
    entropy = functional.binary_cross_entropy_with_logits(places[:, 0], target, reduction="none")
    whole = functional.binary_cross_entropy_with_logits(logit, label)
    return (entropy * depth).sum(dim=(1, 2)).mean() + weight * whole


def read(network: LungMapNetwork, given: Tensor) -> Answers:
    """What a network says of features (n, channels, h, w)."""
    logits, places = [], []
    for part in given.split(_READ_BATCH):
        with torch.inference_mode():
            logit, place = network.answer(part.float())
        logits.append(logit.numpy().astype(np.float64))
        places.append(place[:, 0].numpy())
    return Answers(np.concatenate(logits), np.concatenate(places))
