"""Training and reading of networks that tell the class of a segmented volume, on CPU or GPU."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from export.data import ct_segmented
from export.data.balance import balanced
from export.data.ct_segmented_cases import Case, cases, measured
from export.networks.volume_classes import VolumeClassifier

_log = logging.getLogger(__name__)
Mask = npt.NDArray[np.bool_]
#: Cases of a volume to train on, and slabs of it to measure on.
TRAINED, MEASURED = 64, 32
_READ_BATCH = 16
_TOLD_EVERY = 10
#: The fraction of the window at which soft tissue lies: gain turns about it.
_SOFT_TISSUE = 0.77


@dataclass(frozen=True)
class Plan:
    """``steps`` of AdamW at ``rate``, or as many of them as take ``seconds``; ``average``: of the weights."""

    steps: int = 500
    batch: int = 16
    rate: float = 2e-3
    weight_decay: float = 2e-2
    average: float = 0.98
    seconds: float = math.inf


@dataclass(frozen=True)
class Pool:
    """Cases in rows: bytes ``channels`` (n, 2, D, H, W); ``label``, ``kind``, ``mask`` and ``coverage`` as in
    ``Case``; ``name``: the volume's; ``fold`` whose networks never see it."""

    channels: npt.NDArray[np.uint8]
    label: npt.NDArray[np.int64]
    kind: npt.NDArray[np.str_]
    mask: npt.NDArray[np.str_]
    coverage: npt.NDArray[np.float64]
    name: npt.NDArray[np.str_]

    @property
    def fold(self) -> npt.NDArray[np.int64]:
        """The fold of each row's patient."""
        folds = {name: ct_segmented.fold_of(name) for name in set(self.name.tolist())}
        return np.array([folds[name] for name in self.name], dtype=np.int64)

    def at(self, chosen: Mask) -> Pool:
        """The rows where ``chosen`` is true."""
        return Pool(**{key: value[chosen] for key, value in vars(self).items()})


def training_pool(names: Sequence[str], *, seed: int, workers: int, count: int = TRAINED) -> Pool:
    """``count`` cases of each of these volumes to train on, made by so many processes."""
    return _pool(partial(_training_cases, seed=seed, count=count), names, workers)


def measuring_pool(names: Sequence[str], *, workers: int, slabs: int = MEASURED) -> Pool:
    """The cases to measure on: those that may come from a scanner, and the whole chests healed."""
    return _pool(partial(_measured_cases, slabs=slabs), names, workers)


def _training_cases(name: str, seed: int, count: int) -> list[Case]:
    draw = np.random.default_rng((seed, ct_segmented.volumes().index(name)))
    return list(cases(ct_segmented.read(name), count, draw))


def _measured_cases(name: str, slabs: int) -> list[Case]:
    draw = np.random.default_rng((7, ct_segmented.volumes().index(name)))
    return list(measured(ct_segmented.read(name), slabs, draw))


def _pool(make: Callable[[str], list[Case]], names: Sequence[str], workers: int) -> Pool:
    if workers > 1:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as processes:
            made = list(processes.map(make, names))
    else:
        made = [make(name) for name in names]
    rows = [(name, case) for name, found in zip(names, made, strict=True) for case in found]
    return Pool(
        channels=np.stack([case.channels for _, case in rows]),
        label=np.array([case.label for _, case in rows], dtype=np.int64),
        kind=np.array([case.kind for _, case in rows]),
        mask=np.array([case.mask for _, case in rows]),
        coverage=np.array([case.coverage for _, case in rows]),
        name=np.array([name for name, _ in rows]),
    )


def train(
    build: Callable[[], VolumeClassifier], pool: Pool, chosen: Mask, *, plan: Plan, seed: int
) -> VolumeClassifier:
    """A network trained from scratch on the rows that are ``chosen``: the average of its weights, on the CPU.

    It takes all of ``plan.steps``, or ends when its seconds are over; the rate falls accordingly.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(seed)
    network = build().to(device, memory_format=torch.channels_last_3d).train()
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(plan.average))
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.rate, weight_decay=plan.weight_decay)
    given = torch.from_numpy(pool.channels[chosen]).to(device)
    label = torch.from_numpy(pool.label[chosen]).to(device)
    counts = balanced(pool.name[chosen], pool.label[chosen], pool.coverage[chosen])
    draw = torch.Generator(device).manual_seed(seed)
    weight = torch.from_numpy(counts).to(device)
    begun, step, done = time.monotonic(), 0, 0.0
    while step < plan.steps and done < 1:
        for group in optimiser.param_groups:
            group["lr"] = plan.rate * _pace(done)
        picked = torch.multinomial(weight, plan.batch, replacement=True, generator=draw)
        volume = vary(given[picked].float() / 255, draw)
        with torch.autocast(device.type, torch.bfloat16):
            logits, _ = network(volume.contiguous(memory_format=torch.channels_last_3d))
        loss = functional.cross_entropy(logits.float(), label[picked], label_smoothing=0.02)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        average.update_parameters(network)
        step += 1
        done = step / plan.steps
        if step % _TOLD_EVERY == 0:
            told = float(loss.detach())  # waits for the GPU: what is measured then is what was done
            done = max(done, (time.monotonic() - begun) / plan.seconds)
            if step % (10 * _TOLD_EVERY) == 0:
                _log.info("step %d (%.0f %%) loss %.3f", step, 100 * done, told)
    _log.info("%d steps in %.1f s", step, time.monotonic() - begun)
    trained: VolumeClassifier = average.module.cpu().to(memory_format=torch.contiguous_format).eval()
    return trained


def _pace(done: float) -> float:
    """Up for a tenth of the way, then half a cosine down to a hundredth."""
    if done < 0.1:
        return 0.05 + 9.5 * done
    return 0.01 + 0.99 * (1 + math.cos(math.pi * (done - 0.1) / 0.9)) / 2


def vary(volume: Tensor, draw: torch.Generator) -> Tensor:
    """Flip of the columns, pan, zoom and a slight turn of both channels; greys and noise of the image.

    (N, 2, D, H, W) in [0, 1], on any device; so is the result.
    """
    count = len(volume)

    def between(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand((count, *shape), generator=draw, device=volume.device)

    angle = between(-0.17, 0.17)
    scale = torch.exp(between(-0.2, 0.2, 1) + between(-0.07, 0.07, 3))
    cosine, sine, nothing = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle)
    flip = torch.where(between(0, 1) < 0.5, -1.0, 1.0)
    # In units of half a side: turning in plane must know how much wider than high a plane is.
    aspect = volume.shape[4] / volume.shape[3]
    rows = (
        torch.stack([cosine * flip, -sine / aspect, nothing], dim=1),
        torch.stack([sine * aspect * flip, cosine, nothing], dim=1),
        torch.stack([nothing, nothing, torch.ones_like(angle)], dim=1),
    )
    linear = torch.stack(rows, dim=1) * scale[:, :, None]
    matrix = torch.cat([linear, between(-0.15, 0.15, 3, 1)], dim=2)
    grid = functional.affine_grid(matrix, list(volume.shape), align_corners=False)
    moved = functional.grid_sample(volume, grid, padding_mode="zeros", align_corners=False)
    image, mask = moved[:, :1], moved[:, 1:]
    seen = (image > 0).float()
    one = (1, 1, 1, 1)
    image = _SOFT_TISSUE + (image - _SOFT_TISSUE) * between(0.88, 1.12, *one) + between(-0.05, 0.05, *one)
    image = image.clamp(0.01, 1) ** torch.exp(between(-0.2, 0.2, *one))
    noise = torch.randn(image.shape, generator=draw, device=image.device) * between(0, 0.04, *one)
    return torch.cat([(image + noise).clamp(0, 1) * seen, mask], dim=1)


def read(network: VolumeClassifier, channels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """For each case (n, 2, D, H, W) in bytes the log odds (n,) that it holds lesions."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = network.to(device).eval()
    logits = []
    for start in range(0, len(channels), _READ_BATCH):
        volume = torch.from_numpy(channels[start : start + _READ_BATCH]).to(device).float() / 255
        with torch.inference_mode():
            answer = network(volume)[0].float().cpu().numpy()
        logits.append((answer[:, 1] - answer[:, 0]).astype(np.float64))
    network.cpu()
    return np.concatenate(logits)
