"""Patches of volumes on the grid of a volumetric network, cut around the lungs, drawn and varied by seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from export.data.ct import Volume, covid_names, load_volume, source_of
from export.data.ct_segment import LESION_SHARE, SHARES, SOFT_TISSUE, Batch
from export.paths import runs_folder
from plugin.analysis import preprocess
from plugin.analysis.grid import Mask, bounding_box
from plugin.analysis.resampling import Lattice, grown, positions_of

Bytes = npt.NDArray[np.uint8]
Triple = tuple[float, float, float]


def lattice_of(volume: Volume, lungs: Mask, *, spacing: Triple, margin: float) -> Lattice:
    """The network's grid around the lungs of a volume, as the plugin lays it. ValueError without lungs."""
    box = bounding_box(lungs)
    if box is None:
        raise ValueError(f"{volume.name} has no lungs")
    down, back, across = volume.spacing
    source = positions_of(
        (volume.hu.shape[0], volume.hu.shape[1], volume.hu.shape[2]),
        slices=np.arange(len(volume.hu), dtype=np.float64) * np.float64(down),
        pixel_spacing=(back, across),
    )
    return Lattice.over(grown(box, source=source, margin=margin), source=source, spacing=spacing)


@dataclass(frozen=True)
class Stored:
    """A volume around its lungs on the network's grid: bytes (depth, rows, columns), 255 is 1."""

    name: str
    kind: str
    image: Bytes
    lesion: Bytes
    lung: Bytes


def load_stored(name: str, *, spacing: Triple, margin: float, low: float, high: float) -> Stored:
    """A chest volume in the window [low, high] HU, made as the plugin makes it; cached."""
    cache = cache_of(name, spacing=spacing, margin=margin, low=low, high=high)
    if not cache.exists():
        volume = load_volume(name)
        lattice = lattice_of(volume, volume.lung, spacing=spacing, margin=margin)
        image = preprocess.window(lattice.resample(volume.hu), low, high)
        lesion, lung = (_share(lattice, mask) for mask in (volume.lesion, volume.lung))
        np.savez_compressed(cache, image=_bytes(image), lesion=_bytes(lesion), lung=_bytes(lung))
    with np.load(cache) as stored:
        return Stored(name, kind_of(name), stored["image"], stored["lesion"], stored["lung"])


def cache_of(name: str, *, spacing: Triple, margin: float, low: float, high: float) -> Path:
    """Where the layers of such a volume are kept: image, lesion and lung of ``Stored``."""
    size = "x".join(f"{step:g}" for step in spacing)
    return runs_folder("ct-cache") / f"{name}-volume-{size}-{margin:g}-{low:.0f}-{high:.0f}.npz"


def kind_of(name: str) -> str:
    """What a sampler draws a volume by: the collection of COVID-19 volumes, "other" for the others."""
    return source_of(name) if name in covid_names() else "other"


def _share(lattice: Lattice, mask: Mask) -> npt.NDArray[np.float32]:
    """How much of each point of the grid is mask."""
    return np.asarray(lattice.resample(mask.astype(np.int16) * 1000) / np.float32(1000), dtype=np.float32)


def _bytes(values: npt.NDArray[np.float32]) -> Bytes:
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


class PatchSampler:
    """Draws patches (depth, rows, columns) on a device; a step's depend on the seed and the step alone.

    The volumes lie on the device as well, so that a GPU is not kept waiting.
    """

    def __init__(
        self,
        volumes: Sequence[Stored],
        patch: tuple[int, int, int],
        seed: int,
        device: torch.device | None = None,
    ) -> None:
        self.patch, self.seed, self.device = patch, seed, device or torch.device("cpu")
        self.kinds = [kind for kind in SHARES if any(v.kind == kind for v in volumes)]
        self.by_kind = {kind: [v.name for v in volumes if v.kind == kind] for kind in self.kinds}
        self.findings = {v.name: np.argwhere(v.lesion > 127).astype(np.int16) for v in volumes}
        self.values = {
            v.name: torch.from_numpy(np.stack([v.image, v.lesion])).to(self.device) for v in volumes
        }
        shares = np.array([SHARES[kind] for kind in self.kinds])
        self.shares = shares / shares.sum()

    def batch(self, step: int, count: int) -> Batch:
        """``count`` varied patches for a step."""
        draw = np.random.default_rng((self.seed, step))
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        patches = []
        for _ in range(count):
            kind = self.kinds[draw.choice(len(self.kinds), p=self.shares)]
            chosen = self.by_kind[kind][draw.integers(len(self.by_kind[kind]))]
            patches.append(self._patch(chosen, draw, generator))
        values = torch.cat(patches)
        target = values[:, 1:]
        return Batch(vary(values[:, :1], generator), target, torch.ones_like(target))

    def _patch(self, name: str, draw: np.random.Generator, generator: torch.Generator) -> Tensor:
        """One patch (1, 2, depth, rows, columns): around a finding, or anywhere."""
        whole, places = self.values[name], self.findings[name]
        shape = np.array(whole.shape[1:])
        if len(places) and draw.random() < LESION_SHARE:
            centre = places[draw.integers(len(places))] + draw.uniform(-0.3, 0.3, 3) * self.patch
        else:
            centre = draw.uniform(0, 1, 3) * shape
        half = np.array(self.patch) / 2
        # Never farther out than needs be: what the plugin reads lies in the volume as well.
        centre = np.where(shape > 2 * half, np.clip(centre, half, shape - half), shape / 2)
        part, matrix = cut(shape, warp(shape, centre, self.patch, generator))
        values = whole[:, *part][None].float() / 255
        grid = functional.affine_grid(matrix[None].to(self.device), [1, 2, *self.patch], align_corners=False)
        return functional.grid_sample(values, grid, padding_mode="zeros", align_corners=False)


def cut(shape: npt.NDArray[np.int64], matrix: Tensor) -> tuple[tuple[slice, slice, slice], Tensor]:
    """The part of a volume that a patch looks into, and where it looks in that part: as ``warp`` has it."""
    lengths = shape[::-1].astype(np.float64)
    linear, middle = matrix[:, :3].double().numpy(), matrix[:, 3].double().numpy()
    reach = np.abs(linear).sum(axis=1)
    low, high = (((middle + sign * reach + 1) * lengths - 1) / 2 for sign in (-1, 1))
    first = np.clip(np.floor(low), 0, lengths - 1)
    last = np.clip(np.ceil(high) + 1, first + 1, lengths)
    scale = lengths / (last - first)
    moved = (middle + 1) * scale - 2 * first / (last - first) - 1
    part = [slice(int(a), int(b)) for a, b in zip(first[::-1], last[::-1], strict=True)]
    inside = np.concatenate([linear * scale[:, None], moved[:, None]], axis=1)
    return (part[0], part[1], part[2]), torch.from_numpy(inside).float()


def warp(
    shape: npt.NDArray[np.int64],
    centre: npt.NDArray[np.float64],
    patch: tuple[int, int, int],
    draw: torch.Generator,
) -> Tensor:
    """Where a patch looks in a volume: (3, 4) for ``affine_grid``.

    In plane rotated to 12 degrees, scaled by 0.8 to 1.25 (each axis by 10 % more), columns flipped half of
    the time; along the body scaled by as much and not turned.
    """
    uniform = torch.rand(6, generator=draw)
    angle = (2 * uniform[0] - 1) * math.pi / 15
    scales = torch.exp(torch.cat([uniform[1:2], uniform[1:3]]) * 0.44 - 0.22)
    scales = scales * torch.exp(uniform[3:6] * 0.2 - 0.1)
    flip = -1.0 if torch.rand(1, generator=draw) < 0.5 else 1.0
    cosine, sine = torch.cos(angle), torch.sin(angle)
    turned = torch.eye(3)  # in voxels, in the order columns, rows, slices
    turned[0, 0], turned[0, 1], turned[1, 0], turned[1, 1] = cosine * flip, -sine, sine * flip, cosine
    sides, lengths = (torch.tensor(list(size)[::-1]).float() for size in (patch, shape.tolist()))
    linear = turned * scales[:, None] * sides[None, :] / lengths[:, None]
    middle = 2 * torch.from_numpy(centre[::-1].copy()).float() / lengths - 1
    return torch.cat([linear, middle[:, None]], dim=1)


def vary(image: Tensor, draw: torch.Generator) -> Tensor:
    """Gain about soft tissue, shift (70 HU), gamma and noise; (N, 1, D, H, W) in [0, 1], on any device."""
    count = len(image)

    def uniform(low: float, high: float) -> Tensor:
        return (low + (high - low) * torch.rand((count, 1, 1, 1, 1), generator=draw)).to(image.device)

    image = SOFT_TISSUE + (image - SOFT_TISSUE) * uniform(0.88, 1.12) + uniform(-0.05, 0.05)
    image = image.clamp(0, 1) ** torch.exp(uniform(-0.2, 0.2))
    noisy = (uniform(0, 1) < 0.6).float() * uniform(0, 0.05)
    seed = int(torch.randint(2**62, (1,), generator=draw))
    noise = torch.Generator(image.device).manual_seed(seed)
    return (image + noisy * torch.randn(image.shape, generator=noise, device=image.device)).clamp(0, 1)
