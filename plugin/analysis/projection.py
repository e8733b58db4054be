"""Mean projections of a CT volume, accumulated slice by slice while it is decoded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


class Projections:
    """The axial and the sagittal mean projection of a volume whose slices come one at a time.

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

    def add(self, k: int, slice_: npt.NDArray[np.int16]) -> None:
        """Take in slice ``k`` counted from the feet: HU (rows to posterior, columns to the left)."""
        clipped = np.clip(slice_, self._low, self._high).astype(np.float32)
        weight = 1.0 if self._thickness is None else float(self._thickness[k])
        if self._sum is None:
            self._sum = np.zeros(slice_.shape, dtype=np.float64)
        self._sum += clipped * np.float32(weight)
        self._weight += weight
        self._rows[k] = clipped.mean(axis=1)

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
        if not self._rows:
            raise ValueError("a projection needs at least one slice")
        profiles = np.stack([self._rows[k] for k in sorted(self._rows)])
        if self._thickness is not None:
            profiles = _evenly(profiles, self._thickness[sorted(self._rows)])
        return np.ascontiguousarray(profiles[::-1])


def _evenly(profiles: FloatArray, thickness: npt.NDArray[np.float64]) -> FloatArray:
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


def mean_projections(
    volume: Sequence[npt.NDArray[np.int16]] | npt.NDArray[np.int16], *, low: float, high: float
) -> tuple[FloatArray, FloatArray]:
    """Axial and sagittal mean projection of a canonical volume (slices, rows, columns) in HU."""
    projections = Projections(low=low, high=high)
    for k, slice_ in enumerate(volume):
        projections.add(k, slice_)
    return projections.axial, projections.sagittal
