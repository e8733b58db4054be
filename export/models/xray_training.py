"""Training of the X-ray networks on cached features: linear probe, then fine-tuning of what follows.

The classifier starts from a logistic regression on the pooled features, and only then the later
parts of the trunk are trained with it: fine-tuning from a random classifier distorts features that
hold elsewhere (Kumar et al. 2022, "Fine-tuning can distort pretrained features").
"""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import WeightedRandomSampler

from export.models.xray_samples import Features
from export.networks.attention import AttentionClassifier

_log = logging.getLogger(__name__)
Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Schedule:
    """How a network is trained.

    ``frozen``: parts of the trunk left as they are; ``regularisation``: C of the logistic regression;
    ``epochs`` of ``draws`` samples each; ``frozen_statistics``: batch normalisation keeps those of
    the pretraining, which few and weighted samples would spoil; ``mix``: alpha of mix-up (Zhang et
    al. 2018), on the features; 0 for none.
    """

    frozen: int
    regularisation: float = 1e-3
    epochs: int = 4
    draws: int = 3000
    batch: int = 32
    learning_rate: float = 3e-4
    weight_decay: float = 1e-2
    frozen_statistics: bool = True
    mix: float = 0.2


@dataclass(frozen=True)
class Examples:
    """Features with their labels (n,), indices of classes, and weights (n,)."""

    features: Features
    labels: Labels
    weights: Array

    def only(self, chosen: npt.NDArray[np.bool_]) -> Examples:
        """Those that are ``chosen`` (n,)."""
        features = Features(self.features.maps[chosen], self.features.pooled[chosen])
        return Examples(features, self.labels[chosen], self.weights[chosen])


def probe(network: AttentionClassifier, examples: Examples, regularisation: float) -> None:
    """Set the classifier of ``network`` to the logistic regression on pooled features."""
    means = examples.features.pooled
    scaler = StandardScaler().fit(means)
    regression = LogisticRegression(C=regularisation, max_iter=500)
    regression.fit(scaler.transform(means), examples.labels, sample_weight=examples.weights)
    slope = regression.coef_ / scaler.scale_
    offset = regression.intercept_ - slope @ scaler.mean_
    with torch.no_grad():
        network.evidence.weight.copy_(torch.from_numpy(slope)[:, :, None, None])
        network.bias.copy_(torch.from_numpy(offset))


class Tail(nn.Module):
    """What comes after the frozen parts: the trunk's other parts, and the classifier."""

    def __init__(self, network: AttentionClassifier, frozen: int) -> None:
        super().__init__()
        parts = network.trunk.parts()[frozen:]
        self.network = AttentionClassifier(nn.Sequential(*parts), 1, 1)
        self.network.dropout = network.dropout
        self.network.evidence, self.network.bias = network.evidence, network.bias

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(N, c, h, w) to logits (N, classes); one channel is repeated to the three of a picture."""
        if maps.shape[1] == 1:
            maps = maps.expand(-1, 3, -1, -1)
        logits: torch.Tensor = self.network(maps)[0]
        return logits


def _training_mode(tail: Tail, frozen_statistics: bool) -> None:
    tail.train()
    if frozen_statistics:
        for module in tail.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()


def fine_tune(network: AttentionClassifier, examples: Examples, schedule: Schedule, seed: int) -> None:
    """Train the parts after the frozen ones, and the classifier, by weighted draws of samples.

    What stays is the running average of the weights, which generalises better than the last step's.
    """
    maps, labels = examples.features.maps, examples.labels
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(seed)
    tail = Tail(network, schedule.frozen).to(device)
    settings = {"lr": schedule.learning_rate, "weight_decay": schedule.weight_decay}
    optimiser = torch.optim.AdamW(tail.parameters(), **settings)
    steps = schedule.epochs * (schedule.draws // schedule.batch)
    decay = torch.optim.lr_scheduler.OneCycleLR(optimiser, schedule.learning_rate, steps)
    sampler = WeightedRandomSampler(examples.weights.tolist(), schedule.draws)
    mix = torch.distributions.Beta(schedule.mix, schedule.mix) if schedule.mix else None
    _training_mode(tail, schedule.frozen_statistics)
    average = AveragedModel(tail, multi_avg_fn=get_ema_multi_avg_fn(0.99), use_buffers=True)
    for epoch in range(schedule.epochs):
        drawn, losses = np.array(list(sampler)), []
        for start in range(0, schedule.draws - schedule.batch + 1, schedule.batch):
            chosen = drawn[start : start + schedule.batch]
            inputs = torch.from_numpy(maps[chosen]).to(device).float()
            targets = torch.from_numpy(labels[chosen]).to(device)
            share = float(mix.sample()) if mix else 1.0
            other = torch.randperm(len(chosen), device=device)
            logits = tail(share * inputs + (1 - share) * inputs[other])
            loss = share * functional.cross_entropy(logits, targets)
            loss = loss + (1 - share) * functional.cross_entropy(logits, targets[other])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            decay.step()
            average.update_parameters(tail)
            losses.append(loss.item())
        _log.info("epoch %d of %d: loss %.3f", epoch + 1, schedule.epochs, np.mean(losses))
    tail.load_state_dict(average.module.state_dict())
    network.cpu().eval()


def predict(
    network: AttentionClassifier, maps: npt.NDArray[np.float16], frozen: int, batch: int = 64
) -> Array:
    """Logits (n, classes) from the maps (n, c, h, w) after the frozen parts."""
    tail = Tail(network, frozen).eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(maps), batch):
            parts.append(tail(torch.from_numpy(maps[start : start + batch]).float()).numpy())
    return np.concatenate(parts).astype(np.float64)


def pooled(
    network: AttentionClassifier, maps: npt.NDArray[np.float16], frozen: int, batch: int = 64
) -> npt.NDArray[np.float32]:
    """The trunk's pooled features (n, channels) from the maps after the frozen parts."""
    trunk = Tail(network, frozen).network.trunk.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(maps), batch):
            features = trunk(torch.from_numpy(maps[start : start + batch]).float())
            parts.append(features.mean(dim=(2, 3)).numpy())
    return np.concatenate(parts)


def fit(start: AttentionClassifier, examples: Examples, schedule: Schedule, seed: int) -> AttentionClassifier:
    """A trained copy of ``start``: linear probe where parts are frozen, then the schedule's epochs."""
    network = copy.deepcopy(start).eval()
    if schedule.frozen:
        probe(network, examples, schedule.regularisation)
    if schedule.epochs:
        fine_tune(network, examples, schedule, seed)
    return network
