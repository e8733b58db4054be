"""Training of the X-ray networks: opacities from one collection with both classes, rejection from all."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from export.models.xray_samples import Inputs
from export.networks.opacity import OpacityNetwork

_log = logging.getLogger(__name__)
Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
_LOG_EVERY = 40
_BATCH = 64


@dataclass(frozen=True)
class Schedule:
    """How a network is trained, but for its front.

    ``rate`` is that of ImageNet's weights, 0 for none, ``fresh`` that of the new layers. ``boxes`` weighs the
    map's loss. ``average``: decay of the running average of the weights, which is what stays.
    """

    epochs: int
    rate: float
    fresh: float
    batch: int = 32
    weight_decay: float = 2e-2
    smoothing: float = 0.05
    boxes: float = 1.0
    average: float = 0.99


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


def _tensor(features: npt.NDArray[np.float16]) -> Tensor:
    return torch.from_numpy(np.asarray(features, np.float32)).contiguous(memory_format=torch.channels_last)


def loss_of(
    film: Tensor, places: Tensor, target: Tensor, masks: Tensor, *, negative: float, boxes: float
) -> Tensor:
    """Cross entropy of the films, and cross entropy and Dice of the map against the boxes.

    ``film`` and ``target`` (n,), ``places`` and ``masks`` (n, h, w). ``negative`` weighs films without
    opacities, so that both kinds weigh alike. A film with opacities and no box tells nothing of where.
    """
    weight = target + (1 - target) * negative
    whole = functional.binary_cross_entropy_with_logits(film, target, weight=weight)
    told = ((masks.amax(dim=(1, 2)) > 0) | (target < 0.5)).float()[:, None, None]
    each = functional.binary_cross_entropy_with_logits(places, masks, reduction="none")
    inside = torch.sigmoid(places) * told
    dice = (2 * (inside * masks).sum() + 1) / (inside.sum() + (masks * told).sum() + 1)
    return whole + boxes * ((each * told).mean() + 0.5 * (1 - dice))


def train_opacity(
    start: OpacityNetwork,
    views: Sequence[Inputs],
    target: npt.NDArray[np.float32],
    *,
    chosen: npt.NDArray[np.int64],
    schedule: Schedule,
    seed: int,
) -> OpacityNetwork:
    """A trained copy of ``start``, ready to infer.

    Each of the ``chosen`` films is seen once an epoch, in one of the ``views`` by chance.
    """
    torch.manual_seed(seed)
    draw = np.random.default_rng(seed)
    network = copy.deepcopy(start).to(memory_format=torch.channels_last).train()
    network.front.requires_grad_(requires_grad=False)
    for part in (network.back, network.head):
        part.requires_grad_(requires_grad=schedule.rate > 0).train(mode=schedule.rate > 0)
    steps = schedule.epochs * (len(chosen) // schedule.batch)
    optimiser, decay = _optimiser(network, schedule, steps)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(schedule.average), use_buffers=True)
    positive = float(target[chosen].sum())
    negative = positive / (len(chosen) - positive)
    begun, losses = time.monotonic(), []
    for _epoch in range(schedule.epochs):
        order = draw.permutation(chosen)
        for number in range(len(chosen) // schedule.batch):
            batch = order[number * schedule.batch : (number + 1) * schedule.batch]
            seen = [views[index] for index in draw.integers(0, len(views), len(batch))]
            pairs = list(zip(seen, batch, strict=True))
            film, places, _ = network.read(_tensor(np.stack([v.features[place] for v, place in pairs])))
            masks = torch.from_numpy(np.stack([v.masks[place] for v, place in pairs])).float() / 255
            wanted = torch.from_numpy(target[batch])
            wanted = wanted * (1 - schedule.smoothing) + schedule.smoothing / 2
            loss = loss_of(film, places, wanted, masks, negative=negative, boxes=schedule.boxes)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            decay.step()
            average.update_parameters(network)
            losses.append(loss.item())
            if len(losses) % _LOG_EVERY == 0:
                left = (time.monotonic() - begun) / len(losses) * (steps - len(losses))
                recent = float(np.mean(losses[-_LOG_EVERY:]))
                _log.info("step %d of %d: loss %.3f, %.0f s left", len(losses), steps, recent, left)
    trained: OpacityNetwork = average.module
    return trained.eval()


def _optimiser(
    network: OpacityNetwork, schedule: Schedule, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.OneCycleLR]:
    old = [*network.back.parameters(), *network.head.parameters()]
    known = {id(parameter) for parameter in [*old, *network.front.parameters(), *network.reject.parameters()]}
    new = [parameter for parameter in network.parameters() if id(parameter) not in known]
    groups = [{"params": new, "lr": schedule.fresh}]
    if schedule.rate > 0:
        groups.append({"params": old, "lr": schedule.rate})
    optimiser = torch.optim.AdamW(groups, weight_decay=schedule.weight_decay)
    rates = [group["lr"] for group in groups]
    return optimiser, torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, steps, pct_start=0.15)


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
