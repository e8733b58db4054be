"""Slices with lung and findings masks for the segmentation network, drawn and varied by seed."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from export.data.ct import covid_names, load_volume, medseg_slices, source_of
from export.paths import runs_folder
from plugin.analysis import preprocess

_log = logging.getLogger(__name__)
Bytes = npt.NDArray[np.uint8]

#: How often a sample comes from each kind of source, and how often it shows findings where it can.
SHARES = {"coronacases": 0.42, "radiopaedia": 0.28, "other": 0.22, "medseg": 0.08}
LESION_SHARE = 0.6
#: The fraction of the window at which soft tissue lies: gain turns about it.
SOFT_TISSUE = 0.87


@dataclass(frozen=True)
class SliceSet:
    """The slices of one volume at the network's size, as bytes (n, size, size): 255 is 1."""

    name: str
    kind: str
    image: Bytes
    lung: Bytes
    lesion: Bytes
    knows_lung: bool = True

    @property
    def with_findings(self) -> npt.NDArray[np.int64]:
        """Indices of the slices that hold findings."""
        return np.flatnonzero((self.lesion > 127).any(axis=(1, 2)))


def _bytes(pictures: Sequence[npt.NDArray[np.float32]], size: int) -> Bytes:
    resized = [preprocess.resize(p, size, size) for p in pictures]
    return np.stack([np.rint(p * 255).astype(np.uint8) for p in resized])


def _masks(mask: npt.NDArray[np.bool_], size: int) -> Bytes:
    return _bytes([plane.astype(np.float32) for plane in mask], size)


def load_set(name: str, size: int, low: float, high: float) -> SliceSet:
    """All slices of a chest volume, windowed to [low, high] HU and resized as the plugin does it; cached."""
    kind = source_of(name) if name in covid_names() else "other"
    cache = runs_folder("ct-cache") / f"{name}-{size}-{low:.0f}-{high:.0f}.npz"
    if not cache.exists():
        volume = load_volume(name)
        image = _bytes([preprocess.window(plane, low, high) for plane in volume.hu], size)
        lung, lesion = _masks(volume.lung, size), _masks(volume.lesion, size)
        np.savez(cache, image=image, lung=lung, lesion=lesion)
    with np.load(cache) as stored:
        return SliceSet(name, kind, stored["image"], stored["lung"], stored["lesion"])


def load_medseg(size: int, low: float, high: float) -> SliceSet:
    """The MedSeg slices, each in the middle of an empty field; their lungs are not known."""
    images, lesions = [], []
    for item in medseg_slices():
        rows, columns = item.mask.shape
        side = round(1.3 * max(rows, columns))
        top, left = (side - rows) // 2, (side - columns) // 2
        field = np.zeros((side, side), dtype=np.float32)
        lesion = np.zeros((side, side), dtype=np.float32)
        field[top : top + rows, left : left + columns] = preprocess.window(item.hu, low, high)
        lesion[top : top + rows, left : left + columns] = item.mask
        images.append(field)
        lesions.append(lesion)
    lesion_bytes = _bytes(lesions, size)
    return SliceSet(
        "medseg", "medseg", _bytes(images, size), np.zeros_like(lesion_bytes), lesion_bytes, False
    )


@dataclass(frozen=True)
class Batch:
    """``image`` (N, 1, H, W) in [0, 1]; ``target`` (N, 2, H, W) lung and findings; ``known`` its mask."""

    image: Tensor
    target: Tensor
    known: Tensor


class Sampler:
    """Draws batches from slice sets; the batch of a step depends on the seed and the step alone."""

    def __init__(self, sets: Sequence[SliceSet], seed: int) -> None:
        self.seed = seed
        self.kinds = [kind for kind in SHARES if any(s.kind == kind for s in sets)]
        self.by_kind = {kind: [s for s in sets if s.kind == kind] for kind in self.kinds}
        self.findings = {s.name: s.with_findings for s in sets}
        shares = np.array([SHARES[kind] for kind in self.kinds])
        self.shares = shares / shares.sum()

    def batch(self, step: int, count: int) -> Batch:
        """``count`` varied slices for a step."""
        draw = np.random.default_rng((self.seed, step))
        layers, known = [], []
        for _ in range(count):
            kind = self.kinds[draw.choice(len(self.kinds), p=self.shares)]
            chosen = self.by_kind[kind][draw.integers(len(self.by_kind[kind]))]
            places = self.findings[chosen.name]
            if len(places) and draw.random() < LESION_SHARE:
                k = int(places[draw.integers(len(places))])
            else:
                k = int(draw.integers(len(chosen.image)))
            layers.append(np.stack([chosen.image[k], chosen.lung[k], chosen.lesion[k]]))
            known.append([float(chosen.knows_lung), 1.0])
        values = torch.from_numpy(np.stack(layers)).float() / 255
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        values = deform(values, generator, flip=True)
        image = vary_intensity(values[:, :1], generator)
        mask = torch.tensor(known)[:, :, None, None].expand_as(values[:, 1:])
        return Batch(image, values[:, 1:], mask)


def _uniform(shape: tuple[int, ...], low: float, high: float, draw: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=draw)


def deform(values: Tensor, draw: torch.Generator, *, flip: bool, vertical: bool = True) -> Tensor:
    """Rotation to 12 degrees, scale 0.75-1.3 (10 % more in one direction), shift, flip of columns.

    Without ``vertical`` only scale, shift and flip of the columns.
    """
    count = len(values)
    angle = _uniform((count,), -math.pi / 15, math.pi / 15, draw)
    scale = torch.exp(_uniform((count, 1), -0.26, 0.29, draw) + _uniform((count, 2), -0.1, 0.1, draw))
    shift = _uniform((count, 2), -0.12, 0.12, draw)
    flipped = torch.rand(count, generator=draw) < (0.5 if flip else 0.0)
    sign = torch.where(flipped, -1.0, 1.0)
    if not vertical:
        angle, scale[:, 1], shift[:, 1] = torch.zeros_like(angle), 1.0, 0.0
    cosine, sine = torch.cos(angle), torch.sin(angle)
    first = torch.stack([cosine * sign, -sine], dim=1) * scale[:, :1]
    second = torch.stack([sine * sign, cosine], dim=1) * scale[:, 1:]
    matrix = torch.cat([torch.stack([first, second], dim=1), shift[:, :, None]], dim=2)
    grid = functional.affine_grid(matrix, list(values.shape), align_corners=False)
    return functional.grid_sample(values, grid, padding_mode="zeros", align_corners=False)


def bend(values: Tensor, draw: torch.Generator) -> Tensor:
    """Columns scaled by up to a third and shifted by a sixth, smoothly changing from row to row."""
    count = len(values)
    still = torch.eye(2, 3).expand(count, 2, 3)
    grid = functional.affine_grid(still, list(values.shape), align_corners=False).clone()
    row = grid[..., 1]
    scale, bow = (_uniform((count, 1, 1), -0.2, 0.2, draw) for _ in range(2))
    lean, curve = (_uniform((count, 1, 1), -0.1, 0.1, draw) for _ in range(2))
    grid[..., 0] *= torch.exp(scale * row + bow * row.square())
    grid[..., 0] += lean * row + curve * row.square()
    return functional.grid_sample(values, grid, padding_mode="zeros", align_corners=False)


def vary_intensity(image: Tensor, draw: torch.Generator, most_noise: float = 0.05) -> Tensor:
    """Blur, gain about soft tissue, shift (60 HU), gamma and noise; (N, C, H, W) in [0, 1]."""
    count, size = len(image), image.shape[-1]
    varied = []
    for one in image.split(1):
        if torch.rand(1, generator=draw) < 0.4:
            small = int(_uniform((1,), 0.4, 0.9, draw) * size)
            one = functional.interpolate(one, size=small, mode="bilinear", antialias=True)  # noqa: PLW2901
            one = functional.interpolate(one, size=size, mode="bilinear")  # noqa: PLW2901
        varied.append(one)
    image = torch.cat(varied)
    gain = _uniform((count, 1, 1, 1), 0.88, 1.12, draw)
    image = SOFT_TISSUE + (image - SOFT_TISSUE) * gain + _uniform((count, 1, 1, 1), -0.05, 0.05, draw)
    image = image.clamp(0, 1) ** torch.exp(_uniform((count, 1, 1, 1), -0.2, 0.2, draw))
    noise = torch.randn(image.shape, generator=draw)
    smooth = functional.avg_pool2d(noise, 3, 1, 1) * 2.0
    kind = (torch.rand((count, 1, 1, 1), generator=draw) < 0.5).float()
    strength = _uniform((count, 1, 1, 1), 0, most_noise, draw) * (
        torch.rand((count, 1, 1, 1), generator=draw) < 0.6
    )
    return (image + strength * (kind * noise + (1 - kind) * smooth)).clamp(0, 1)
