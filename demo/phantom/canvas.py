"""One axial slice to paint on: soft-edged shapes over one another, the later one covering the earlier.

Coordinates are DICOM LPS in mm (+x to the patient's left, +y to posterior, +z to the head); values are
Hounsfield units. A shape is given by its distance field: mm from its surface, negative inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

Array = npt.NDArray[np.float32]

AIR = -1000.0


@dataclass
class Slice:
    """An axial slice at height ``z`` over the pixel centres ``x`` (columns) and ``y`` (rows).

    ``pixel``: over how many mm the edges of shapes run; ``coarse``: the same for tubes, which must not
    fall between two rows.
    """

    z: float
    x: Array
    y: Array
    pixel: float
    coarse: float
    hu: Array

    @classmethod
    def empty(cls, z: float, x: Array, y: Array) -> Slice:
        """A slice of air."""
        pixel, row = float(x[1] - x[0]), float(y[1] - y[0])
        return cls(z, x, y, pixel, max(pixel, row), np.full((len(y), len(x)), AIR, np.float32))

    @property
    def columns(self) -> Array:
        """x as a row to broadcast: shape (1, columns)."""
        return self.x[None, :]

    @property
    def rows(self) -> Array:
        """y as a column to broadcast: shape (rows, 1)."""
        return self.y[:, None]

    def part(self, x: tuple[float, float], y: tuple[float, float]) -> Slice:
        """The rectangle between two x and two y, to paint on instead of the whole slice."""
        columns, rows = _between(self.x, *x), _between(self.y, *y)
        return Slice(self.z, self.x[columns], self.y[rows], self.pixel, self.coarse, self.hu[rows, columns])

    def cover(self, distance: Array) -> Array:
        """How much of each pixel lies inside a shape, 0 to 1, by its distance field."""
        return np.asarray(np.clip(0.5 - distance / self.pixel, 0.0, 1.0), np.float32)

    def paint(self, distance: Array, hu: Array | float) -> None:
        """Cover the slice with a shape of ``hu``."""
        self.blend(self.cover(distance), hu)

    def blend(self, cover: Array, hu: Array | float) -> None:
        """Mix ``hu`` in with the weights ``cover``."""
        self.hu += cover * (hu - self.hu)

    def paint_tubes(self, tubes: Tubes, hu: float, margin: float = 0.0) -> None:
        """Cover the slice with tubes, each ``margin`` mm wider than it is.

        A tube thinner than a pixel is painted a pixel wide and accordingly fainter.
        """
        for tube in tubes.crossing(self.z, margin):
            low, high = tube[:3], tube[3:6]
            radius = max(tube[6], tube[7]) + margin
            reach = radius + self.coarse
            columns = _between(self.x, min(low[0], high[0]) - reach, max(low[0], high[0]) + reach)
            rows = _between(self.y, min(low[1], high[1]) - reach, max(low[1], high[1]) + reach)
            if columns.start == columns.stop or rows.start == rows.stop:
                continue
            along = high - low
            dx, dy = self.x[None, columns] - low[0], self.y[rows, None] - low[1]
            dz = self.z - low[2]
            length = max(float(along @ along), 1e-6)
            place = np.clip((dx * along[0] + dy * along[1] + dz * along[2]) / length, 0.0, 1.0)
            away = np.sqrt(
                (dx - place * along[0]) ** 2 + (dy - place * along[1]) ** 2 + (dz - place * along[2]) ** 2
            )
            width = tube[6] + place * (tube[7] - tube[6]) + margin
            shown = np.maximum(width, self.coarse / 2)
            cover = np.clip(0.5 + (shown - away) / self.coarse, 0.0, 1.0) * (width / shown) ** 2
            patch = self.hu[rows, columns]
            patch += cover * (hu - patch)


class Tubes:
    """Straight pieces of tube: x, y, z of both ends and the radius at either, shape (n, 8), in mm."""

    def __init__(self, pieces: npt.ArrayLike) -> None:
        self.pieces = np.asarray(pieces, np.float32).reshape(-1, 8)
        radius = np.maximum(self.pieces[:, 6], self.pieces[:, 7])
        self._low = np.minimum(self.pieces[:, 2], self.pieces[:, 5]) - radius
        self._high = np.maximum(self.pieces[:, 2], self.pieces[:, 5]) + radius

    @classmethod
    def along(cls, points: Sequence[tuple[float, float, float]], *radii: float) -> Tubes:
        """A tube through ``points``; the radii are spread evenly over its length."""
        places = np.linspace(0, 1, len(points))
        widths = np.interp(places, np.linspace(0, 1, len(radii)), radii)
        ends = np.column_stack([points, widths])
        return cls(np.column_stack([ends[:-1, :3], ends[1:, :3], ends[:-1, 3], ends[1:, 3]]))

    def __add__(self, other: Tubes) -> Tubes:
        return Tubes(np.concatenate([self.pieces, other.pieces]))

    def mirrored(self) -> Tubes:
        """The same tubes on the other side of the body."""
        return Tubes(self.pieces * np.array([-1, 1, 1, -1, 1, 1, 1, 1], np.float32))

    def crossing(self, z: float, margin: float) -> npt.NDArray[np.float32]:
        """The pieces that a slice at height ``z`` touches."""
        touched = (self._low - margin - 1 <= z) & (z <= self._high + margin + 1)
        return self.pieces[touched]


class Noise:
    """Smooth random values over space, about 0 with deviation about 1, ``cell`` mm from one to the next.

    The same place has the same value whatever grid it is sampled on: random values on a lattice, cubic
    B-splines between them.
    """

    REACH = 260.0

    def __init__(self, rng: np.random.Generator, cell: float) -> None:
        count = int(2 * self.REACH / cell) + 4
        self._cell = cell
        self._values = 3.0 * rng.standard_normal((count, count, count), np.float32)

    def on(self, piece: Slice) -> Array:
        """The values at every pixel of a slice, shape (rows, columns)."""
        up = self._weights(np.array([piece.z], np.float32))
        plane = np.tensordot(up.data, self._values[up.indices], 1)
        return np.asarray((self._weights(piece.x) @ (self._weights(piece.y) @ plane).T).T)

    def _weights(self, along: Array) -> sparse.csr_array:
        """How much each lattice value adds to each place: four neighbours along the line."""
        count = self._values.shape[0]
        place = np.clip((along + self.REACH) / self._cell, 0, count - 4.001)
        whole = place.astype(np.int64)
        t = (place - whole).astype(np.float32)
        weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
        values = np.column_stack(weights).ravel() / 6
        neighbours = (whole[:, None] + np.arange(4)).ravel()
        return sparse.csr_array(
            (values, neighbours, 4 * np.arange(len(along) + 1)), shape=(len(along), count)
        )


def _between(along: Array, low: float, high: float) -> slice:
    start, stop = np.searchsorted(along, [low, high])
    return slice(int(start), int(stop))
