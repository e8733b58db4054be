"""Where the slices of a CT series lie in the patient: order, spacing, orientation.

Everything comes from Image Position and Image Orientation (Patient) (DICOM PS3.3 C.7.6.2.1.1), in the
patient's coordinates (LPS, mm: +x left, +y posterior, +z head); never from instance numbers, slice
locations, patient positions or the nominal thickness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from plugin.dicom import headers

FloatArray = npt.NDArray[np.float64]

FARTHEST_MM = 1e5


def orientation(header: Dataset) -> FloatArray | None:
    """Image Orientation (Patient) as (2, 3): along the rows, down the columns; None if unusable.

    The two directions must be of unit length and at right angles (to 1 %); what is given back is so
    exactly, that the slices' distances do not take over the error.
    """
    values = headers.numbers(header, "ImageOrientationPatient")
    if len(values) != 6:
        return None
    cosines = np.asarray(values, dtype=np.float64).reshape(2, 3)
    if not np.allclose(cosines @ cosines.T, np.eye(2), atol=0.01):
        return None
    along = cosines[0] / np.linalg.norm(cosines[0])
    down = cosines[1] - (cosines[1] @ along) * along
    return np.stack([along, down / np.linalg.norm(down)])


def position(header: Dataset) -> FloatArray | None:
    """Image Position (Patient), the centre of the first pixel, (3,) in mm; None if unusable.

    No scanner's table reaches 100 m: a coordinate beyond that is no position.
    """
    values = headers.numbers(header, "ImagePositionPatient")
    if len(values) != 3 or max(abs(value) for value in values) > FARTHEST_MM:
        return None
    return np.asarray(values, dtype=np.float64)


def pixel_spacing(header: Dataset) -> tuple[float, float] | None:
    """Pixel Spacing in mm, (between rows, between columns); None if missing or not positive."""
    values = headers.numbers(header, "PixelSpacing")
    if len(values) != 2 or min(values) <= 0:
        return None
    return values[0], values[1]


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Slices of one orientation, sorted towards the head.

    ``order``: for each slice from the feet to the head, its index among the given headers.
    ``positions``: (slices,) mm along the slices' normal, increasing to the head.
    ``shifts``: (slices, 2) mm, how far each slice is shifted in its own plane (along its rows, down its
    columns) against the first; 0 where the slices lie exactly above each other, also in an oblique stack.
    ``pixel_spacing``: mm between rows and between columns of a canonical slice.
    ``transposed``, ``flip_rows``, ``flip_columns``: how a source frame becomes a canonical slice:
    transpose first, then reverse the rows, then the columns.
    """

    order: tuple[int, ...]
    positions: FloatArray
    shifts: FloatArray
    pixel_spacing: tuple[float, float]
    transposed: bool
    flip_rows: bool
    flip_columns: bool

    @property
    def gaps(self) -> FloatArray:
        """Distances between neighbouring slices, (slices - 1,) in mm."""
        return np.diff(self.positions)

    @property
    def spacing(self) -> float:
        """Median distance between neighbouring slices in mm; NaN for a single slice."""
        return float(np.median(self.gaps)) if len(self.positions) > 1 else float("nan")

    @property
    def lean(self) -> FloatArray:
        """The part of ``shifts`` that grows evenly from slice to slice, (slices, 2) in mm.

        A gantry that is tilted while the table runs level shears the stack: its slices shift by the
        tangent of the tilt times their distance.
        """
        along = self.positions - self.positions.mean()
        spread = float(along @ along)
        if spread == 0:
            return np.zeros_like(self.shifts)
        centred = self.shifts - self.shifts.mean(axis=0)
        slope = along @ centred / spread
        return np.outer(along, slope)

    @property
    def tilt(self) -> float:
        """Angle in degrees between the slices' normal and the line on which the slices are stacked."""
        height = float(np.ptp(self.positions))
        if height == 0:
            return 0.0
        return float(np.degrees(np.arctan2(np.linalg.norm(np.ptp(self.lean, axis=0)), height)))

    @property
    def extent(self) -> float:
        """What the slices cover together along the body, in mm; 0 for a single slice."""
        return float(np.nansum(self.thickness))

    @property
    def thickness(self) -> FloatArray:
        """What each slice stands for in mm: half the way to either neighbour, (slices,).

        The first and the last reach as far outwards as they do inwards.
        """
        gaps = self.gaps
        if len(gaps) == 0:
            return np.full(len(self.positions), np.nan)
        padded = np.concatenate([gaps[:1], gaps, gaps[-1:]])
        between: FloatArray = (padded[:-1] + padded[1:]) / 2
        return between

    def canonical(self, frame: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """A frame as stored, (rows, columns), as a canonical slice (a view)."""
        turned = frame.T if self.transposed else frame
        turned = turned[::-1] if self.flip_rows else turned
        return turned[:, ::-1] if self.flip_columns else turned


def stack(series: Sequence[Dataset]) -> Stack:
    """Sort the slices of a series and find how its frames become canonical.

    The orientation of the first slice holds for all (the screening makes sure that it does).
    Raises ValueError where a slice has no usable position, orientation or pixel spacing.
    """
    if not series:
        raise ValueError("a stack needs at least one slice")
    cosines, spacing = orientation(series[0]), pixel_spacing(series[0])
    places = [position(header) for header in series]
    known = [place for place in places if place is not None]
    if cosines is None or spacing is None or len(known) < len(places):
        raise ValueError("a slice has no usable position, orientation or pixel spacing")
    normal = np.cross(cosines[0], cosines[1])
    towards_head = normal if normal[2] >= 0 else -normal
    corners = np.stack(known)
    along = corners @ towards_head
    order = np.argsort(along, kind="stable")
    in_plane = (corners - corners[order[0]]) @ cosines.T
    transposed = bool(abs(cosines[0, 0]) < abs(cosines[0, 1]))
    columns_run, rows_run = (cosines[1], cosines[0]) if transposed else (cosines[0], cosines[1])
    return Stack(
        order=tuple(int(index) for index in order),
        positions=along[order],
        shifts=in_plane[order],
        pixel_spacing=(spacing[1], spacing[0]) if transposed else spacing,
        transposed=transposed,
        flip_rows=bool(rows_run[1] < 0),
        flip_columns=bool(columns_run[0] < 0),
    )
