"""Mean projections of chest volumes: slabs with and without findings, whole and spoiled chests.

HU are clipped to the window before the mean, as the plugin does it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from export.data.ct import Volume
from plugin.analysis import preprocess

Axis = Literal["axial", "sagittal"]
Float = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
#: The window of every CT network, so that the plugin makes its projections once. It ends where the 8-bit
#: sources still tell soft tissue from bone.
LOW, HIGH = -1024.0, 200.0
#: A slab is positive from this share of findings in its lungs, negative without any; others are left.
POSITIVE_SHARE, POSITIVE_ML = 0.02, 3.0
#: A slab must hold at least this much lung.
LEAST_LUNG_ML = 100.0


def orthogonal(windowed: Float) -> tuple[Float, Float, Float]:
    """(k, j, i) in [0, 1] to the axial, the sagittal and the coronal mean that the card describes."""
    axial, coronal, sagittal = (windowed.mean(axis=axis) for axis in range(3))
    return axial, np.ascontiguousarray(sagittal[::-1]), np.ascontiguousarray(coronal[::-1])


def heal(volume: Volume, windowed: Float, draw: np.random.Generator) -> Float:
    """The volume with its findings filled by healthy lung of the same slice, for training only.

    Each voxel of the findings takes the value of a voxel of the slice's (else the volume's) healthy
    lung, smoothed by one pixel.
    """
    healed = windowed.copy()
    healthy = volume.lung & ~volume.lesion
    everywhere = windowed[healthy]
    for k in np.flatnonzero(volume.lesion.any(axis=(1, 2))):
        source = windowed[k][healthy[k]]
        if source.size < 50:
            source = everywhere
        holes = volume.lesion[k]
        filled = windowed[k].copy()
        filled[holes] = source[draw.integers(source.size, size=int(holes.sum()))]
        healed[k][holes] = ndimage.gaussian_filter(filled, 1.0)[holes]
    return healed


def implant(
    volume: Volume, windowed: Float, draw: np.random.Generator, most: float = 0.3
) -> tuple[Float, Mask]:
    """The volume with made-up opacities in its lungs, and their mask; for training only.

    Blobs of some 3-8 cm covering 3 % to ``most`` of the lungs take up 40 to 90 % of the way to a value
    between ground glass and consolidation.
    """
    extent = np.array(volume.hu.shape) * volume.spacing
    coarse = draw.standard_normal(np.maximum(3, np.rint(extent / draw.uniform(20, 50))).astype(int))
    zoom = np.array(volume.hu.shape) / coarse.shape
    field = ndimage.zoom(coarse.astype(np.float32), zoom, order=1)
    limit = np.quantile(field[volume.lung], 1 - draw.uniform(0.03, most))
    mask = volume.lung & (field > limit)
    strength = draw.uniform(0.4, 0.9) * np.clip((field[mask] - limit) * 4, 0.2, 1)
    changed = windowed.copy()
    changed[mask] += strength * (draw.uniform(0.45, 0.8) - changed[mask])
    return changed, mask


@dataclass(frozen=True)
class Sample:
    """Projections of one volume in [0, 1], their class ``label``, the volume's ``name`` and their ``kind``.

    ``pictures``: one for all channels of the network, or one for each. ``measured``: as they may come from a
    scanner, so that figures are taken from them.
    """

    pictures: tuple[Float, ...]
    label: int
    name: str
    kind: str
    measured: bool = True


@dataclass(frozen=True)
class _Stack:
    """A volume turned so that axis 0 is projected away, with the lung and findings of each plane."""

    planes: Float
    step: float
    lung: Float
    findings: Float


def _stack(volume: Volume, windowed: Float, axis: Axis, lesion: Mask) -> _Stack:
    voxel = float(np.prod(volume.spacing)) / 1000
    if axis == "axial":
        lung, found = volume.lung.sum((1, 2)), lesion.sum((1, 2))
        return _Stack(windowed, volume.spacing[0], lung * voxel, found * voxel)
    planes = np.ascontiguousarray(windowed[::-1].transpose(2, 0, 1))
    lung, found = volume.lung.sum((0, 1)), lesion.sum((0, 1))
    return _Stack(planes, volume.spacing[2], lung * voxel, found * voxel)


def label_of(findings_ml: float, lung_ml: float) -> int | None:
    """1 with findings, 0 without any, None where it is neither sure nor lung."""
    if lung_ml < LEAST_LUNG_ML:
        return None
    if findings_ml <= 0:
        return 0
    enough = findings_ml >= POSITIVE_ML and findings_ml >= POSITIVE_SHARE * lung_ml
    return 1 if enough else None


def slabs(
    volume: Volume, axis: Axis, count: int, draw: np.random.Generator, *, training: bool
) -> Iterator[Sample]:
    """About ``count`` slabs of one volume, 8 mm to all of the lungs thick, and whole projections.

    For training also from the volume with its findings healed, so that every position in these bodies is
    seen with and without findings.
    """
    windowed = preprocess.window(volume.hu, LOW, HIGH)
    kinds = [(windowed, volume.lesion, "")]
    if training and volume.lesion.any():
        kinds.append((heal(volume, windowed, draw), np.zeros_like(volume.lesion), "healed "))
    for values, lesion, alteration in kinds:
        stack = _stack(volume, values, axis, lesion)
        yield from _whole(volume, stack, alteration)
        yield from _random(volume, stack, count // len(kinds), draw, alteration)


def _whole(volume: Volume, stack: _Stack, alteration: str) -> Iterator[Sample]:
    found = float(stack.findings.sum())
    label = label_of(found, float(stack.lung.sum()))
    if label is None:
        label = 1 if found >= POSITIVE_ML else 0
    yield Sample((stack.planes.mean(axis=0),), label, volume.name, alteration + "whole", not alteration)


def _random(
    volume: Volume, stack: _Stack, count: int, draw: np.random.Generator, alteration: str
) -> Iterator[Sample]:
    """Slabs of log-uniform thickness; every third holds nearly all of the lungs ("most")."""
    inside = np.flatnonzero(stack.lung > 0)
    first, last = int(inside[0]), int(inside[-1]) + 1
    lungs = (last - first) * stack.step
    margin = (last - first) // 10
    sums = np.concatenate([np.zeros((1, *stack.planes.shape[1:])), stack.planes]).cumsum(axis=0)
    made = 0
    for _ in range(4 * count):
        if made == count:
            return
        if made % 3 == 2:
            kind, begin = "most", int(draw.integers(0, first + margin + 1))
            end = int(draw.integers(last - margin, len(stack.planes) + 1))
        else:
            kind, thickness = "slab", float(np.exp(draw.uniform(np.log(8.0), np.log(lungs))))
            planes = max(1, round(thickness / stack.step))
            begin = int(draw.integers(first, max(first + 1, last - planes + 1)))
            end = min(begin + planes, len(stack.planes))
        found, lung = float(stack.findings[begin:end].sum()), float(stack.lung[begin:end].sum())
        label = label_of(found, lung)
        if label is None:
            made += kind == "most"
            continue
        made += 1
        picture = ((sums[end] - sums[begin]) / (end - begin)).astype(np.float32)
        yield Sample((picture,), label, volume.name, alteration + kind, not alteration)
