"""A linear attention head on ImageNet's frozen EfficientNet-Lite0, fitted by logistic regression.

Every second picture is varied. Far cheaper than training the trunk, as the trunk is run once.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression

from export.models.ct_finetune import Pictures, Vary, chances, normalised, to_input
from export.networks.attention import AttentionClassifier
from export.networks.lite import lite_classifier

_log = logging.getLogger(__name__)
BATCH = 16
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Linear:
    """How heads are fitted: ``strength`` is the regularisation's C, ``varied`` the share of pictures."""

    strength: float = 1e-3
    varied: float = 0.5


def pooled(network: AttentionClassifier, values: torch.Tensor) -> npt.NDArray[np.float32]:
    """(n, 1 or 3, H, W) in [0, 1] to the trunk's mean features (n, channels), with progress."""
    found = []
    for number, part in enumerate(values.split(BATCH)):
        with torch.inference_mode():
            found.append(network.trunk(to_input(part)).mean(dim=(2, 3)).numpy())
        if number % 50 == 49:
            _log.info("features %d/%d", (number + 1) * BATCH, len(values))
    return np.concatenate(found)


def fit_heads(
    pictures: Pictures, parts: list[Mask], plan: Linear, vary: Vary, seed: int
) -> list[AttentionClassifier]:
    """One network per part; a part tells which pictures it may learn from."""
    size = pictures.image.shape[-1]
    trunk = lite_classifier(0, (size, size), 2).eval().to(memory_format=torch.channels_last)
    draw = torch.Generator().manual_seed(seed)
    values = normalised(pictures.image)
    chosen = torch.rand(len(values), generator=draw) < plan.varied
    values[chosen] = vary(values[chosen], draw)
    features = pooled(trunk, values)
    networks = []
    for part in parts:
        weights = chances(pictures.at(part)) * part.sum()
        weight, bias = _fit(features[part], pictures.label[part], weights, plan.strength)
        networks.append(_network(size, weight, bias))
    return networks


def _fit(
    values: npt.NDArray[np.float32],
    label: npt.NDArray[np.int64],
    weights: npt.NDArray[np.float64],
    strength: float,
) -> tuple[npt.NDArray[np.float32], float]:
    centre, spread = values.mean(axis=0), values.std(axis=0) + 1e-3
    model = LogisticRegression(C=strength, max_iter=400)
    model.fit((values - centre) / spread, label, weights)
    weight = (model.coef_[0] / spread).astype(np.float32)
    return weight, float(model.intercept_[0] - centre @ weight)


def _network(size: int, weight: npt.NDArray[np.float32], bias: float) -> AttentionClassifier:
    """A two-class network whose logits are -z/2 and z/2 of z = features . weight + bias."""
    network = lite_classifier(0, (size, size), 2)
    signs = torch.tensor([-0.5, 0.5])
    with torch.no_grad():
        network.evidence.weight.copy_((signs[:, None] * torch.from_numpy(weight))[:, :, None, None])
        network.bias.copy_(signs * bias)
    return network.eval()
