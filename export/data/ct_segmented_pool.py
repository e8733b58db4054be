"""Cases of segmented volumes in rows, made by several processes, and batches of them varied on the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from export.data import ct_segmented
from export.data.balance import balanced
from export.data.ct_segment import Batch
from export.data.ct_segmented_cases import Case, cases, measured
from export.data.rows import Rows, folds_of

#: Cases of a volume to train on, and slabs of it to measure on.
TRAINED, MEASURED = 64, 32
_MEASURING_SEED = 7
#: The fraction of the window at which soft tissue lies: gain turns about it.
_SOFT_TISSUE = 0.77


@dataclass(frozen=True)
class Pool(Rows):
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
        return folds_of(self.name)


def training_pool(names: Sequence[str], *, seed: int, workers: int, count: int = TRAINED) -> Pool:
    """``count`` cases of each of these volumes to train on, made by so many processes and kept in memory."""
    return _pool(partial(_training_cases, seed=seed, count=count), names, workers, ("training", seed, count))


def measuring_pool(names: Sequence[str], *, workers: int, slabs: int = MEASURED) -> Pool:
    """The cases to measure on: those that may come from a scanner, and the whole chests healed."""
    return _pool(partial(_measured_cases, slabs=slabs), names, workers, ("measuring", 0, slabs))


def _training_cases(name: str, seed: int, count: int) -> list[Case]:
    draw = np.random.default_rng((seed, ct_segmented.volumes().index(name)))
    return list(cases(ct_segmented.read(name), count, draw))


def _measured_cases(name: str, slabs: int) -> list[Case]:
    draw = np.random.default_rng((_MEASURING_SEED, ct_segmented.volumes().index(name)))
    return list(measured(ct_segmented.read(name), slabs, draw))


_made: dict[tuple[str, str, int, int], list[Case]] = {}
"""Cases by volume and by how they were drawn: several networks learn from the same."""


def _pool(
    make: Callable[[str], list[Case]], names: Sequence[str], workers: int, drawn: tuple[str, int, int]
) -> Pool:
    missing = [name for name in names if (name, *drawn) not in _made]
    if workers > 1 and len(missing) > 1:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as processes:
            found = list(processes.map(make, missing))
    else:
        found = [make(name) for name in missing]
    _made.update({(name, *drawn): each for name, each in zip(missing, found, strict=True)})
    rows = [(name, case) for name in names for case in _made[name, *drawn]]
    return Pool(
        channels=np.stack([case.channels for _, case in rows]),
        label=np.array([case.label for _, case in rows], dtype=np.int64),
        kind=np.array([case.kind for _, case in rows]),
        mask=np.array([case.mask for _, case in rows]),
        coverage=np.array([case.coverage for _, case in rows]),
        name=np.array([name for name, _ in rows]),
    )


class CaseSampler:
    """Draws batches of varied cases on a device; those of a step depend on the seed and the step alone.

    Both classes come as often, and within a class every volume. The cases lie on the device as well.
    """

    def __init__(self, pool: Pool, seed: int, device: torch.device) -> None:
        self.seed, self.device = seed, device
        self.channels = torch.from_numpy(pool.channels).to(device)
        self.label = torch.from_numpy(pool.label).to(device)
        self.weight = torch.from_numpy(balanced(pool.name, pool.label, pool.coverage)).to(device)

    def batch(self, step: int, count: int) -> Batch:
        """``count`` cases for a step: channels (N, 2, D, H, W), labels (N,)."""
        draw = torch.Generator(self.device).manual_seed(self.seed * 1_000_003 + step)
        picked = torch.multinomial(self.weight, count, replacement=True, generator=draw)
        image = vary(self.channels[picked].float() / 255, draw)
        return Batch(image, self.label[picked], torch.ones_like(picked))


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
