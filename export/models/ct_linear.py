"""Linear classifiers on pooled features of ImageNet's EfficientNet-Lite0, for CT projections.

Every picture is seen once as it is and several times varied; the features are cached. One head is fitted
per fold (patients left out) and one on everybody.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from export.data.ct_projections import Sample
from export.data.ct_segment import deform, vary_intensity
from export.networks.attention import AttentionClassifier
from export.networks.lite import FEATURES, MEAN, STD, LiteTrunk
from plugin.analysis import preprocess

_log = logging.getLogger(__name__)
BATCH = 16


@dataclass(frozen=True)
class Features:
    """Pooled features (n, 1280) of pictures with what is known of each.

    ``label`` (n,) class index; ``name`` the volume; ``kind``; ``measured``: not varied and not altered.
    """

    values: npt.NDArray[np.float32]
    label: npt.NDArray[np.int64]
    name: npt.NDArray[np.str_]
    kind: npt.NDArray[np.str_]
    measured: npt.NDArray[np.bool_]

    def save(self, path: Path) -> None:
        """Write all arrays as npz."""
        np.savez_compressed(path, **vars(self))

    @staticmethod
    def load(path: Path) -> Features:
        """Read what :meth:`save` wrote."""
        with np.load(path) as stored:
            return Features(**{key: stored[key] for key in stored.files})

    def at(self, chosen: npt.NDArray[np.bool_]) -> Features:
        """The rows where ``chosen`` is true."""
        return Features(**{key: value[chosen] for key, value in vars(self).items()})


def joined(parts: list[Features]) -> Features:
    """Several tables as one."""
    keys = vars(parts[0])
    return Features(**{key: np.concatenate([vars(p)[key] for p in parts]) for key in keys})


@dataclass(frozen=True)
class Extractor:
    """Pictures to pooled features at the network's input ``size`` (square)."""

    size: int
    flip: bool
    variants: int

    def features(self, samples: Iterator[Sample], seed: int) -> Features:
        """Each sample as it is and ``variants`` times varied, seeded."""
        trunk = LiteTrunk(0, (self.size, self.size)).eval().to(memory_format=torch.channels_last)
        draw = torch.Generator().manual_seed(seed)
        known = list(samples)
        pictures = torch.from_numpy(
            np.stack([preprocess.resize(s.picture, self.size, self.size) for s in known])
        )[:, None]
        values = [self._pooled(trunk, pictures)]
        for _ in range(self.variants):
            varied = vary_intensity(deform(pictures, draw, flip=self.flip), draw)
            values.append(self._pooled(trunk, varied))
        rounds = 1 + self.variants
        plain = np.repeat(np.arange(rounds) == 0, len(known))
        return Features(
            values=np.concatenate(values),
            label=np.tile([s.label for s in known], rounds).astype(np.int64),
            name=np.tile([s.name for s in known], rounds),
            kind=np.tile([s.kind for s in known], rounds),
            measured=np.tile([s.measured for s in known], rounds) & plain,
        )

    @staticmethod
    def _pooled(trunk: nn.Module, pictures: torch.Tensor) -> npt.NDArray[np.float32]:
        found = []
        for part in pictures.split(BATCH):
            image = ((part - MEAN[0]) / STD[0]).expand(-1, 3, -1, -1)
            with torch.inference_mode():
                features = trunk(image.contiguous(memory_format=torch.channels_last))
            found.append(features.mean(dim=(2, 3)).numpy())
        return np.concatenate(found)


@dataclass(frozen=True)
class Head:
    """A linear head: logit = features . weight + bias, for the second of two classes."""

    weight: npt.NDArray[np.float32]
    bias: float

    def logits(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """(n, 1280) to (n,)."""
        return np.asarray(features @ self.weight + self.bias, dtype=np.float64)

    def network(self, size: int) -> AttentionClassifier:
        """Trunk and head as one network of two classes, whose logits are -z/2 and z/2."""
        network = AttentionClassifier(LiteTrunk(0, (size, size)), FEATURES, 2)
        signs = torch.tensor([-0.5, 0.5])
        weight = torch.from_numpy(self.weight)
        with torch.no_grad():
            network.evidence.weight.copy_((signs[:, None] * weight)[:, :, None, None])
            network.bias.copy_(signs * self.bias)
        return network.eval()


def fit(table: Features, strength: float) -> Head:
    """Logistic regression on standardised features; each patient and each class weighs the same.

    ``strength``: the regularisation's C.
    """
    centre, spread = table.values.mean(axis=0), table.values.std(axis=0) + 1e-3
    _, group = np.unique(np.char.add(table.name, table.label.astype(str)), return_inverse=True)
    weights = 1.0 / np.bincount(group)[group]
    for label in (0, 1):
        weights[table.label == label] /= weights[table.label == label].sum()
    model = LogisticRegression(C=strength, max_iter=400)
    model.fit((table.values - centre) / spread, table.label, weights * len(weights) / 2)
    weight = (model.coef_[0] / spread).astype(np.float32)
    return Head(weight, float(model.intercept_[0] - centre @ weight))
