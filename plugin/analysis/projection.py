"""Mean projections of a CT volume, accumulated slice by slice while it is decoded."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


class Projections:
    """The mean projections along the three axes of a volume whose slices come one at a time.

    HU are clipped to [low, high] before they are averaged. Only two-dimensional sums are kept, never a
    slice. ``thickness``: what each slice stands for in mm, so that unevenly spaced slices count for what
    they cover; None where they are evenly spaced.
    """

    def __init__(self, *, low: float, high: float, thickness: npt.NDArray[np.float64] | None = None) -> None:
        """Begin with no slice."""
        self._low, self._high = low, high
        self._thickness = thickness
        self._sum: npt.NDArray[np.float64] | None = None
        self._weight = 0.0
        self._rows: dict[int, FloatArray] = {}
        self._columns: dict[int, FloatArray] = {}

    def add(self, k: int, slice_: npt.NDArray[np.int16]) -> None:
        """Take in slice ``k`` counted from the feet: HU (rows to posterior, columns to the left)."""
        clipped = np.clip(slice_, self._low, self._high).astype(np.float32)
        weight = 1.0 if self._thickness is None else float(self._thickness[k])
        if self._sum is None:
            self._sum = np.zeros(slice_.shape, dtype=np.float64)
        self._sum += clipped * np.float32(weight)
        self._weight += weight
        self._rows[k] = clipped.mean(axis=1)
        self._columns[k] = clipped.mean(axis=0)

    @property
    def axial(self) -> FloatArray:
        """Mean along the body: float32 (rows, columns) in HU, rows to posterior, columns to the left.

        Raises ValueError where no slice was taken in.
        """
        if self._sum is None:
            raise ValueError("a projection needs at least one slice")
        return (self._sum / self._weight).astype(np.float32)

    @property
    def sagittal(self) -> FloatArray:
        """Mean from right to left: float32 (slices, rows) in HU, head to feet, columns to posterior.

        Unevenly spaced slices are resampled to even rows. Raises ValueError where no slice was taken in.
        """
        return self._head_first(self._rows)

    @property
    def coronal(self) -> FloatArray:
        """Mean from front to back: float32 (slices, columns) in HU, head to feet, columns to the left.

        As ``sagittal`` otherwise.
        """
        return self._head_first(self._columns)

    def _head_first(self, profiles: dict[int, FloatArray]) -> FloatArray:
        if not profiles:
            raise ValueError("a projection needs at least one slice")
        numbers = sorted(profiles)
        stacked = np.stack([profiles[k] for k in numbers])
        if self._thickness is not None:
            stacked = evenly(stacked, self._thickness[numbers])
        return np.ascontiguousarray(stacked[::-1])


def evenly(profiles: FloatArray, thickness: npt.NDArray[np.float64]) -> FloatArray:
    """Rows that stand for ``thickness`` mm each, interpolated to as many rows at even distances."""
    if len(profiles) < 2:
        return profiles
    centres = np.cumsum(thickness) - thickness / 2
    even = np.linspace(centres[0], centres[-1], len(centres))
    upper = np.clip(np.searchsorted(centres, even), 1, len(centres) - 1)
    between = (even - centres[upper - 1]) / (centres[upper] - centres[upper - 1])
    share: FloatArray = np.clip(between, 0, 1).astype(np.float32)[:, None]
    resampled: FloatArray = profiles[upper - 1] * (1 - share) + profiles[upper] * share
    return resampled
