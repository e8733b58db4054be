"""What X-ray networks answer, and what is fitted to it: rejection, calibration, the map's floor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from export.networks.opacity import OpacityNetwork

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
_BATCH = 64


@dataclass(frozen=True)
class Answers:
    """What a network says of n samples: ``film`` (n,) is the film's logit, not calibrated.

    ``places`` (n, h, w) are the map's logits; ``pooled`` (n, channels) is what the rejection reads.
    """

    film: Array
    places: npt.NDArray[np.float32]
    pooled: npt.NDArray[np.float32]


class _Read(nn.Module):
    """All that a network says of what its front gave."""

    def __init__(self, network: OpacityNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        """(N, channels, h, w) to the film's logit, the map and the pooled features."""
        return self.network.read(features)


def answers(network: OpacityNetwork, features: npt.NDArray[np.float16]) -> Answers:
    """What the network says where its front gave ``features`` (n, channels, h, w); by ONNX Runtime."""
    example = torch.zeros((2, *features.shape[1:]))
    batch = torch.export.Dim("batch", max=_BATCH)
    program = torch.onnx.export(
        _Read(network).eval(), (example,), dynamo=True, verbose=False, dynamic_shapes={"features": {0: batch}}
    )
    assert program is not None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    parts = [
        session.run(None, {name: np.asarray(features[start : start + _BATCH], np.float32)})
        for start in range(0, len(features), _BATCH)
    ]
    film, places, pooled = (np.concatenate(found) for found in zip(*parts, strict=True))
    return Answers(film.astype(np.float64), places, pooled)


def refusal(layer: nn.Linear, pooled: npt.NDArray[np.float32]) -> Array:
    """The probability (n,) that a picture is not to be read, from pooled features (n, channels)."""
    with torch.inference_mode():
        logits = layer(torch.from_numpy(pooled))[:, 0].numpy()
    return np.asarray(expit(logits.astype(np.float64)))


def fit_rejection(
    pooled: npt.NDArray[np.float32], rejected: Mask, weights: Array, regularisation: float = 1e-2
) -> nn.Linear:
    """A logistic regression on the pooled features (n, channels) as a layer; ``weights`` (n,)."""
    scaler = StandardScaler().fit(pooled)
    regression = LogisticRegression(C=regularisation, max_iter=300)
    regression.fit(scaler.transform(pooled).astype(np.float32), rejected, sample_weight=weights)
    slope = regression.coef_ / scaler.scale_
    layer = nn.Linear(pooled.shape[1], 1)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(slope))
        layer.bias.copy_(torch.from_numpy(regression.intercept_ - slope @ scaler.mean_))
    return layer


def fit_calibration(film: Array, opacity: Mask) -> tuple[float, float]:
    """Scale and offset that make ``film`` (n,) the logit of ``opacity`` at equal numbers with and without."""
    regression = LogisticRegression(C=1e6, class_weight="balanced").fit(film[:, None], opacity)
    return float(regression.coef_[0, 0]), float(regression.intercept_[0])


def fit_floor(places: npt.NDArray[np.float32], masks: npt.NDArray[np.uint8]) -> float:
    """The logit of the map (n, h, w) above which places fit the boxes best (mean Dice over films)."""
    boxes = masks > 127
    candidates = np.arange(-3.0, 1.01, 0.1)
    both = [2 * ((places > c) & boxes).sum(axis=(1, 2)) for c in candidates]
    total = [(places > c).sum(axis=(1, 2)) + boxes.sum(axis=(1, 2)) for c in candidates]
    dice = [float((b / t).mean()) for b, t in zip(both, total, strict=True)]
    return round(float(candidates[int(np.argmax(dice))]), 2)
