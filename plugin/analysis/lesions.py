"""The connected parts of a mask: how large each is, and on which slice most of it is seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Mask = npt.NDArray[np.bool_]

_TOUCHING = np.ones((3, 3), bool)
"""Pixels of a slice belong together also where only their corners touch."""


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """One connected part of a mask.

    ``volume``: the sum of its voxels' volumes, in the unit of those; ``slice``: the slice on which its area
    is largest, the first of several; ``area``: bool (rows, columns), its pixels on that slice.
    """

    volume: float
    slice: int
    area: Mask


def lesions(mask: Mask, *, voxel: npt.NDArray[np.float64], most: int) -> tuple[list[Lesion], int]:
    """The ``most`` largest connected parts of a mask, the largest first, and how many there are in all.

    ``mask``: bool (slices, rows, columns); ``voxel``: the volume of one voxel of each slice, (slices,).
    Within a slice pixels that touch belong together, between slices those that lie over each other. Looked
    at slice by slice, so that a thousand slices need no volume of labels.
    """
    parts = _Parts()
    sizes: list[npt.NDArray[np.int64]] = []
    before: npt.NDArray[np.int32] | None = None
    for section in mask:
        labels, count = ndimage.label(section, structure=_TOUCHING)
        first = parts.add(count)
        sizes.append(np.bincount(labels.ravel(), minlength=count + 1)[1:])
        labels = np.where(labels > 0, labels + (first - 1), -1).astype(np.int32)
        if before is not None:
            both = (before >= 0) & (labels >= 0)
            for above, below in np.unique(np.stack([before[both], labels[both]], axis=1), axis=0):
                parts.join(int(above), int(below))
        before = labels
    roots = np.array([parts.root(part) for part in range(len(parts))], np.int64)
    if roots.size == 0:
        return [], 0
    slices = np.repeat(np.arange(len(sizes)), [len(found) for found in sizes])
    pixels = np.concatenate(sizes)
    names, members = np.unique(roots, return_inverse=True)
    volumes = np.bincount(members, weights=pixels * voxel[slices])
    largest = np.argsort(-volumes, kind="stable")[:most]
    return [_lesion(mask, members == n, slices, pixels, float(volumes[n])) for n in largest], len(names)


def _lesion(
    mask: Mask,
    own: Mask,
    slices: npt.NDArray[np.int64],
    pixels: npt.NDArray[np.int64],
    volume: float,
) -> Lesion:
    """The lesion whose parts are ``own`` among all parts of all slices."""
    area = np.bincount(slices[own], weights=pixels[own])
    fullest = int(area.argmax())
    labels, _ = ndimage.label(mask[fullest], structure=_TOUCHING)
    here = np.flatnonzero(slices == fullest)
    return Lesion(volume=volume, slice=fullest, area=np.isin(labels, 1 + np.flatnonzero(own[here])))


class _Parts:
    """Which parts of the slices belong together (union by the lower number, paths halved)."""

    def __init__(self) -> None:
        self._parent: list[int] = []

    def __len__(self) -> int:
        return len(self._parent)

    def add(self, count: int) -> int:
        """Add so many parts; returns the number of the first."""
        first = len(self._parent)
        self._parent += range(first, first + count)
        return first

    def root(self, part: int) -> int:
        while self._parent[part] != part:
            self._parent[part] = self._parent[self._parent[part]]
            part = self._parent[part]
        return part

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self.root(one), self.root(other)))
        self._parent[high] = low
