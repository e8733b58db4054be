"""Training of the X-ray networks: a regression on a frozen trunk's features, or the whole from pixels."""

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

from export.networks.attention import AttentionClassifier

_log = logging.getLogger(__name__)
Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
Inputs = npt.NDArray[np.float32] | npt.NDArray[np.float16]


@dataclass(frozen=True)
class Probe:
    """A logistic regression on the frozen trunk's pooled features.

    ``regularisation`` is its C; ``groups`` are numbers of successive features, each group of which counts
    alike in the penalty, however many they are.
    """

    regularisation: float = 1e-3
    groups: tuple[int, ...] = ()


@dataclass(frozen=True)
class Schedule:
    """How a whole network is trained: ``epochs`` of ``draws`` samples each.

    ``mix``: alpha of mix-up (Zhang et al. 2018); 0 for none. ``average``: decay of the running average of
    the weights, ``norm_momentum`` that of batch normalisation's, each to suit the number of steps.
    """

    epochs: int
    draws: int
    batch: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    mix: float = 0.2
    average: float = 0.99
    norm_momentum: float = 0.01


@dataclass(frozen=True)
class Examples:
    """What is learnt from: ``inputs`` with labels (n,), indices of classes, and weights (n,).

    ``inputs`` are a frozen trunk's pooled features (n, channels), or pictures (n, 1, H, W).
    """

    inputs: Inputs
    labels: Labels
    weights: Array

    def only(self, chosen: npt.NDArray[np.bool_]) -> Examples:
        """Those that are ``chosen`` (n,)."""
        return Examples(self.inputs[chosen], self.labels[chosen], self.weights[chosen])


def _probe(network: AttentionClassifier, examples: Examples, probe: Probe) -> None:
    """Set the classifier of ``network`` to the logistic regression on its pooled features."""
    scaler = StandardScaler().fit(examples.inputs)
    groups = probe.groups or examples.inputs.shape[1:]
    gain = np.concatenate([np.full(count, np.sqrt(max(groups) / count)) for count in groups])
    regression = LogisticRegression(C=probe.regularisation, max_iter=500)
    values = (scaler.transform(examples.inputs) * gain).astype(np.float32)
    regression.fit(values, examples.labels, sample_weight=examples.weights)
    slope = regression.coef_ * gain / scaler.scale_
    offset = regression.intercept_ - slope @ scaler.mean_
    with torch.no_grad():
        network.evidence.weight.copy_(torch.from_numpy(slope)[:, :, None, None])
        network.bias.copy_(torch.from_numpy(offset))


def _colours(pictures: torch.Tensor) -> torch.Tensor:
    """(N, 1, H, W) repeated to the three channels of a picture."""
    return pictures.float().expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def _train(network: AttentionClassifier, examples: Examples, schedule: Schedule, seed: int) -> None:
    """Train the whole network by weighted draws of samples.

    What stays is the running average of the weights, which generalises better than the last step's.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(seed)
    network.to(device, memory_format=torch.channels_last).train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = schedule.norm_momentum
    settings = {"lr": schedule.learning_rate, "weight_decay": schedule.weight_decay}
    optimiser = torch.optim.AdamW(network.parameters(), **settings)
    steps = schedule.epochs * (schedule.draws // schedule.batch)
    decay = torch.optim.lr_scheduler.OneCycleLR(optimiser, schedule.learning_rate, steps)
    sampler = WeightedRandomSampler(examples.weights.tolist(), schedule.draws)
    mix = torch.distributions.Beta(schedule.mix, schedule.mix) if schedule.mix else None
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(schedule.average), use_buffers=True)
    for epoch in range(schedule.epochs):
        drawn, losses = np.array(list(sampler)), []
        for start in range(0, schedule.draws - schedule.batch + 1, schedule.batch):
            chosen = drawn[start : start + schedule.batch]
            inputs = _colours(torch.from_numpy(examples.inputs[chosen]).to(device))
            targets = torch.from_numpy(examples.labels[chosen]).to(device)
            share = float(mix.sample()) if mix else 1.0
            other = torch.randperm(len(chosen), device=device)
            logits, _ = network(share * inputs + (1 - share) * inputs[other])
            loss = share * functional.cross_entropy(logits, targets)
            loss = loss + (1 - share) * functional.cross_entropy(logits, targets[other])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            decay.step()
            average.update_parameters(network)
            losses.append(loss.item())
        _log.info("epoch %d of %d: loss %.3f", epoch + 1, schedule.epochs, np.mean(losses))
    network.load_state_dict(average.module.state_dict())
    network.cpu().eval()


def predict(network: AttentionClassifier, inputs: Inputs, batch: int = 64) -> Array:
    """Logits (n, classes) from pooled features or pictures."""
    classifier = network.eval()
    parts = []
    with torch.inference_mode():
        for values in torch.from_numpy(inputs).split(batch):
            if values.ndim == 2:
                logits = classifier.evidence(values[:, :, None, None])[:, :, 0, 0] + classifier.bias
            else:
                logits, _ = classifier(_colours(values))
            parts.append(logits.numpy())
    return np.concatenate(parts).astype(np.float64)


def pooled(trunk: nn.Module, inputs: Inputs, batch: int = 64) -> Inputs:
    """The trunk's pooled features (n, channels) from pictures, or as they are given."""
    if inputs.ndim == 2:
        return inputs
    with torch.inference_mode():
        parts = torch.from_numpy(inputs).split(batch)
        return np.concatenate([trunk(_colours(part)).mean(dim=(2, 3)).numpy() for part in parts])


def fit(
    start: AttentionClassifier, examples: Examples, how: Probe | Schedule, seed: int
) -> AttentionClassifier:
    """A trained copy of ``start``, ready to infer."""
    network = copy.deepcopy(start).eval()
    if isinstance(how, Probe):
        _probe(network, examples, how)
    else:
        _train(network, examples, how, seed)
    return network
