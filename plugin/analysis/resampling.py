"""A volume on an even grid of another spacing, and labels of that grid back on the volume. Nothing shifts.

Both ways go by millimetres: the centre of a voxel is where it is whatever the grid, slices lie where their
positions say and not where an even spacing would put them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Positions = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Box = tuple[slice, slice, slice]
Triple = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Lattice:
    """An even grid over a box of a volume (slices, rows, columns).

    ``source``: where the voxels of the whole volume lie along each axis, in mm, increasing. ``box``: the part
    of the volume that the grid covers. ``target``: where the points of the grid lie, in the same millimetres.
    """

    source: tuple[Positions, Positions, Positions]
    box: Box
    target: tuple[Positions, Positions, Positions]

    @classmethod
    def over(cls, box: Box, *, source: Sequence[Positions], spacing: Triple) -> Lattice:
        """The grid of ``spacing`` mm that covers the voxels of a box, in the middle of them."""
        first, second, third = source
        targets = [
            _covering(positions[part], step)
            for positions, part, step in zip(source, box, spacing, strict=True)
        ]
        return cls(source=(first, second, third), box=box, target=(targets[0], targets[1], targets[2]))

    @property
    def shape(self) -> tuple[int, int, int]:
        """The number of points along each axis."""
        first, second, third = (len(positions) for positions in self.target)
        return first, second, third

    def resample(self, volume: npt.NDArray[np.int16] | Mask) -> FloatArray:
        """The volume at the points of the grid, float32, linear; where the grid is coarser, averaged.

        The weights are a triangle as wide as the coarser of both spacings, as Pillow's bilinear filter with
        antialiasing has them; they are the same to either side of a point, so that nothing moves.
        """
        down, back, across = (
            _weights(positions[part], points)
            for positions, part, points in zip(self.source, self.box, self.target, strict=True)
        )
        slices, rows, columns = self.box
        resampled = np.zeros(self.shape, dtype=np.float32)
        for k in range(down.shape[1]):
            plane = back @ volume[slices.start + k, rows, columns].astype(np.float32) @ across.T
            for point in np.flatnonzero(down[:, k]):
                resampled[point] += down[point, k] * plane
        return resampled

    def restore(self, labels: Mask) -> Mask:
        """Labels of the grid on the whole volume: each voxel takes those of the point that is nearest."""
        nearest = [
            _nearest(positions[part], points)
            for positions, part, points in zip(self.source, self.box, self.target, strict=True)
        ]
        restored = np.zeros([len(positions) for positions in self.source], dtype=np.bool_)
        rows, columns = np.ix_(nearest[1], nearest[2])
        for k, plane in enumerate(nearest[0]):
            restored[self.box[0].start + k, self.box[1], self.box[2]] = labels[plane][rows, columns]
        return restored


def positions_of(
    shape: tuple[int, int, int], *, slices: Positions, pixel_spacing: tuple[float, float]
) -> tuple[Positions, Positions, Positions]:
    """Where the voxels of a volume lie along each axis in mm, from its slices' positions on."""
    rows, columns = (np.arange(count) * step for count, step in zip(shape[1:], pixel_spacing, strict=True))
    return slices, np.asarray(rows), np.asarray(columns)


def grown(box: Box, *, source: Sequence[Positions], margin: float) -> Box:
    """A box with all voxels that lie within ``margin`` mm of it."""
    first, second, third = (
        _grown(part, positions, margin) for part, positions in zip(box, source, strict=True)
    )
    return first, second, third


def _grown(part: slice, positions: Positions, margin: float) -> slice:
    low, high = positions[part.start] - margin, positions[part.stop - 1] + margin
    inside = np.flatnonzero((positions >= low) & (positions <= high))
    return slice(int(inside[0]), int(inside[-1]) + 1)


def _covering(positions: Positions, step: float) -> Positions:
    """Points ``step`` mm apart, as far beyond the first position as beyond the last."""
    extent = float(positions[-1] - positions[0])
    count = int(np.ceil(extent / step - 1e-9)) + 1
    middle = (positions[0] + positions[-1]) / 2
    return np.asarray(middle + (np.arange(count) - (count - 1) / 2) * step)


def _nearest(positions: Positions, points: Positions) -> npt.NDArray[np.intp]:
    """For each position the number of the nearest point of an even grid."""
    if len(points) == 1:
        return np.zeros(len(positions), dtype=np.intp)
    step = points[1] - points[0]
    numbers = np.rint((positions - points[0]) / step).astype(np.intp)
    return np.asarray(np.clip(numbers, 0, len(points) - 1))


def _weights(positions: Positions, points: Positions) -> FloatArray:
    """How much of each position is in each point: (points, positions), rows that sum to 1."""
    weights = np.zeros((len(points), len(positions)))
    if len(positions) == 1:
        weights[:, 0] = 1
        return weights.astype(np.float32)
    step = points[1] - points[0] if len(points) > 1 else 0.0
    inside = np.clip(points, positions[0], positions[-1])
    upper = np.clip(np.searchsorted(positions, inside), 1, len(positions) - 1)
    gap = positions[upper] - positions[upper - 1]
    share = (inside - positions[upper - 1]) / gap
    rows = np.arange(len(points))
    weights[rows, upper - 1], weights[rows, upper] = 1 - share, share
    # Where several positions lie within a step, all of them count, each for as far as it reaches.
    coarse = gap < step
    distance = np.abs(inside[coarse, None] - positions[None, :])
    weights[coarse] = np.maximum(0, 1 - distance / step) * np.gradient(positions)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)
