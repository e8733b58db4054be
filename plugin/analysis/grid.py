"""Masks on a coarser grid: what is decided about whole lungs needs cells of about 2 mm, not voxels.

A grid keeps memory and time small for series of a thousand slices, and its labels go back to the voxels
without changing the mask's outline.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy import ndimage

_T = TypeVar("_T")
Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.uint8]

CELL_MM = 2.0
NEIGHBOURS = np.ones((3, 3, 3), dtype=np.bool_)
"""26-connected."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A mask (slices, rows, columns) on coarser cells, cropped to where it is set.

    ``cells``: more than half of the cell is mask, or any of it where that leaves none. ``touched``: any
    of it is mask.
    ``factors``: voxels per cell along each axis. ``size``: of a cell in mm. ``origin``: first voxel.
    """

    cells: Mask
    touched: Mask
    factors: tuple[int, int, int]
    size: tuple[float, float, float]
    origin: tuple[int, int, int]

    @classmethod
    def of(cls, mask: Mask, spacing: tuple[float, float, float]) -> Grid | None:
        """The grid of a mask with voxels of ``spacing`` mm; None where the mask is empty."""
        box = bounding_box(mask)
        if box is None:
            return None
        factors = _triple(max(1, round(CELL_MM / step)) for step in spacing)
        counts = _counts(mask[box], factors)
        touched, cells = counts > 0, 2 * counts > np.prod(factors)
        return cls(
            cells=cells if cells.any() else touched,
            touched=touched,
            factors=factors,
            size=_triple(step * factor for step, factor in zip(spacing, factors, strict=True)),
            origin=_triple(int(part.start) for part in box),
        )

    def column(self, voxel: float) -> float:
        """A voxel's column as a column of cells."""
        return (voxel - self.origin[2]) / self.factors[2]

    def spread(self, labels: Labels, mask: Mask) -> Labels:
        """Labels of cells on the voxels of the mask that the grid was made of, uint8, 0 elsewhere.

        Labels grow into the touched cells beside them; what they do not reach stays 0.
        """
        grown = grow(labels, self.touched)
        result = np.zeros(mask.shape, dtype=np.uint8)
        down, back, across = self.factors
        first, row, column = self.origin
        for k in range(first, min(first + labels.shape[0] * down, mask.shape[0])):
            plane = np.repeat(np.repeat(grown[(k - first) // down], back, axis=0), across, axis=1)
            window = result[k, row : row + plane.shape[0], column : column + plane.shape[1]]
            window[...] = plane[: window.shape[0], : window.shape[1]]
            result[k] *= mask[k]
        return result


def _counts(mask: Mask, factors: tuple[int, int, int]) -> npt.NDArray[np.uint16]:
    """How many voxels of each cell are set, one layer of cells at a time."""
    starts = [np.arange(0, length, factor) for length, factor in zip(mask.shape, factors, strict=True)]
    counts = np.empty([len(axis) for axis in starts], dtype=np.uint16)
    for layer, first in enumerate(starts[0]):
        plane = mask[first : first + factors[0]].sum(axis=0, dtype=np.uint16)
        counts[layer] = np.add.reduceat(np.add.reduceat(plane, starts[1]), starts[2], axis=1)
    return counts


def _triple(values: Iterable[_T]) -> tuple[_T, _T, _T]:
    first, second, third = values
    return first, second, third


def bounding_box(mask: Mask) -> tuple[slice, slice, slice] | None:
    """The smallest box that holds a mask (slices, rows, columns); None where it is empty."""
    planes = np.flatnonzero(mask.any(axis=(1, 2)))
    if planes.size == 0:
        return None
    outline: Mask = np.any(mask, axis=0)
    rows, columns = np.flatnonzero(outline.any(axis=1)), np.flatnonzero(outline.any(axis=0))
    return (
        slice(int(planes[0]), int(planes[-1]) + 1),
        slice(int(rows[0]), int(rows[-1]) + 1),
        slice(int(columns[0]), int(columns[-1]) + 1),
    )


def grow(labels: Labels, region: Mask) -> Labels:
    """Labels grown step by step through the region until nothing changes."""
    grown = labels.copy()
    while True:
        fresh = ndimage.maximum_filter(grown, size=3, mode="constant")
        fresh[~region | (grown > 0)] = 0
        if not fresh.any():
            return grown
        grown += fresh


def components(mask: Mask) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """26-connected components of a mask, numbered from 1, and the size of each (index 0: background)."""
    labels, _ = ndimage.label(mask, structure=NEIGHBOURS, output=np.int32)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return labels, sizes


def main_parts(cells: Mask) -> Mask:
    """The two largest components of a mask, and others of at least 5 %; none under 0.5 %.

    Two for two lungs; more, because a consolidation may cut a lung in two.
    """
    labels, sizes = components(cells)
    rank = np.argsort(np.argsort(-sizes, kind="stable"), kind="stable")
    share = sizes / max(int(sizes.sum()), 1)
    kept: Mask = (((rank < 2) & (share >= 0.005)) | (share >= 0.05))[labels]
    return kept
