"""Projections of a CT over lung voxels alone: what the rays meet of the lungs, and nothing of the body.

The same sums serve the plugin, slice by slice, and training, for slabs of a volume.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plugin.analysis.projection import evenly

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Box = tuple[int, int, int, int]

_LEVEL_SHARE = 0.1
_LOWEST, _HIGHEST = -1024, 1023


@dataclass(frozen=True, kw_only=True)
class LungScale:
    """How lung voxels are counted: shifted so that the lungs' level (:func:`lung_level`) lies at ``level``,
    clipped to [``low``, ``high``], dense from ``dense`` on, all in HU; a depth of ``depth`` mm is 1."""

    low: float
    high: float
    level: float
    dense: float
    depth: float


@dataclass(frozen=True, kw_only=True)
class LungPictures:
    """Three pictures in [0, 1] of the lungs' box, and where that lies.

    ``channels``: the mean HU of the lung voxels on a ray, the share of them that is dense, the lung's depth;
    each float32 (rows, columns), 0 where a ray meets no lung. ``box``: (top, left, bottom, right) in the
    whole projection, whose shape is ``shape``.
    """

    channels: tuple[FloatArray, FloatArray, FloatArray]
    box: Box
    shape: tuple[int, int]

    @property
    def lungs(self) -> Mask:
        """Where rays meet lung, in the whole projection: bool of ``shape``."""
        top, left, bottom, right = self.box
        mask = np.zeros(self.shape, dtype=np.bool_)
        mask[top:bottom, left:right] = self.channels[2] > 0
        return mask


@dataclass(frozen=True, kw_only=True)
class LungSums:
    """What rays meet of the lungs, each (rows, columns): ``depth`` in mm, ``hu`` (clipped) times mm, and the
    mm of lung that are ``dense``."""

    depth: DoubleArray
    hu: DoubleArray
    dense: DoubleArray

    def pictures(self, scale: LungScale) -> LungPictures | None:
        """The pictures of the lungs' box; None where no ray meets lung."""
        met = self.depth > 0
        rows, columns = np.flatnonzero(met.any(axis=1)), np.flatnonzero(met.any(axis=0))
        if rows.size == 0:
            return None
        box = (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
        inside = (slice(box[0], box[2]), slice(box[1], box[3]))
        depth, lung = self.depth[inside], met[inside]
        safe = np.where(lung, depth, 1.0)
        mean = np.where(lung, (self.hu[inside] / safe - scale.low) / (scale.high - scale.low), 0.0)
        dense = np.where(lung, self.dense[inside] / safe, 0.0)
        channels = (_picture(mean), _picture(dense), _picture(depth / scale.depth))
        return LungPictures(channels=channels, box=box, shape=self.depth.shape)


class LungProjections:
    """The axial and the sagittal sums of a volume whose slices come one at a time, with their lungs.

    Only two-dimensional sums are kept. ``level``: of these lungs in HU; ``spacing``: mm between slices, rows,
    columns; ``thickness``: what each slice stands for in mm, None where they are evenly spaced.
    """

    def __init__(
        self,
        scale: LungScale,
        *,
        level: float,
        spacing: tuple[float, float, float],
        thickness: npt.NDArray[np.float64] | None = None,
    ) -> None:
        """Begin with no slice."""
        self._scale, self._level = scale, level
        self._spacing, self._thickness = spacing, thickness
        self._axial: npt.NDArray[np.float64] | None = None
        self._profiles: list[npt.NDArray[np.float64]] = []

    def add(self, slice_: npt.NDArray[np.int16], lungs: Mask) -> None:
        """Take in the next slice counted from the feet: HU and lungs (rows to posterior, columns to left)."""
        if self._axial is None:
            self._axial = np.zeros((3, *slice_.shape))
        number = len(self._profiles)
        step = self._spacing[0] if self._thickness is None else float(self._thickness[number])
        profiles = np.zeros((3, slice_.shape[0]))
        rows = np.flatnonzero(lungs.any(axis=1))
        if rows.size:
            held = slice(int(rows[0]), int(rows[-1]) + 1)
            met = layers(slice_[held], lungs[held], self._scale, self._level)
            self._axial[:, held] += met * np.float32(step)
            profiles[:, held] = met.sum(axis=2, dtype=np.float64) * self._spacing[2]
        self._profiles.append(profiles)

    @property
    def axial(self) -> LungSums:
        """Along the body: rows to posterior, columns to the left. Raises ValueError without a slice."""
        if self._axial is None:
            raise ValueError("a projection needs at least one slice")
        return _sums(self._axial)

    @property
    def sagittal(self) -> LungSums:
        """From right to left: rows from head to feet, evenly spaced, columns to posterior.

        Raises ValueError where no slice was taken in.
        """
        if not self._profiles:
            raise ValueError("a projection needs at least one slice")
        stacked = np.stack(self._profiles, axis=1)
        if self._thickness is not None:
            stacked = np.stack([evenly(layer, self._thickness) for layer in stacked])
        return _sums(np.ascontiguousarray(stacked[:, ::-1]))


def lung_level(slices: Iterable[npt.NDArray[np.int16]], lungs: Iterable[Mask]) -> float:
    """The HU below which a tenth of the lungs' voxels lie: aerated lung, whatever else there is.

    It differs with how deep the patient breathed in and with the scanner. -1024 where there is no lung.
    """
    counts = np.zeros(_HIGHEST - _LOWEST + 1, dtype=np.int64)
    for hu, mask in zip(slices, lungs, strict=True):
        held = np.clip(hu[mask], _LOWEST, _HIGHEST).astype(np.int64) - _LOWEST
        counts += np.bincount(held, minlength=len(counts))
    return float(_LOWEST + np.searchsorted(np.cumsum(counts), _LEVEL_SHARE * counts.sum()))


def layers(hu: npt.NDArray[np.int16], lungs: Mask, scale: LungScale, level: float) -> FloatArray:
    """What is summed along rays: float32 (3, ...): lung, its HU as the scale has them, dense lung.

    ``level``: of the lungs whose part this is. All are 0 outside the lungs.
    """
    shifted = hu + np.float32(scale.level - level)
    clipped = np.clip(shifted, scale.low, scale.high)
    return np.stack([lungs, clipped * lungs, lungs & (shifted >= scale.dense)]).astype(np.float32)


def _sums(stacked: DoubleArray) -> LungSums:
    depth, hu, dense = stacked
    return LungSums(depth=depth, hu=hu, dense=dense)


def _picture(values: DoubleArray) -> FloatArray:
    return np.clip(values, 0.0, 1.0).astype(np.float32)
