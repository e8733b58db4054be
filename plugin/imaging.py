"""Instances to arrays with geometry: the one place where pixel data is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset


class SeriesSource(Protocol):
    """Where the instances of one series come from: Orthanc, or a folder in tests and benchmarks."""

    @property
    def instance_ids(self) -> Sequence[str]:
        """The instances, in any order."""

    def read(self, instance_id: str) -> bytes:
        """The DICOM file of one instance. Raises LookupError where it no longer exists."""


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One instance's header, without its pixels."""

    instance_id: str
    header: Dataset
    """The dataset with file meta, without PixelData; oversized private elements dropped."""
    has_pixels: bool


@dataclass(frozen=True, kw_only=True)
class XrayImage:
    """A projection radiograph, ready for display.

    ``pixels``: float32 (rows, columns) in [0, 1], MONOCHROME2 sense (dense is bright), after modality
    and VOI LUT, in the orientation in which it is stored.
    """

    source: Instance
    pixels: npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class CtVolume:
    """A CT series as a volume in canonical patient orientation.

    ``hu``: int16 (slices, rows, columns) in Hounsfield units; axis 0 runs to the head (+z), axis 1 to
    posterior (+y), axis 2 to the patient's left (+x), whatever the order and the flips of the source.
    ``sources``: the instance of each slice along axis 0.
    ``spacing``: (between slices, rows, columns) in mm; between slices is the median of the positions.
    ``thickness``: mm that each slice stands for (half the way to either neighbour), shape (slices,);
    the sum over a mask of thickness x pixel area is its volume, also where the spacing varies.
    ``transposed``, ``flip_rows``, ``flip_columns``: how a source frame becomes a canonical slice:
    transpose first, then reverse the rows, then the columns.
    """

    hu: npt.NDArray[np.int16]
    sources: tuple[Instance, ...]
    spacing: tuple[float, float, float]
    thickness: npt.NDArray[np.float64]
    transposed: bool
    flip_rows: bool
    flip_columns: bool

    def to_frame(self, canonical: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """A canonical (rows, columns) slice or (slices, rows, columns) stack as the source stores it.

        The order of the slices stays that of ``sources``.
        """
        frame = canonical[..., :, ::-1] if self.flip_columns else canonical
        frame = frame[..., ::-1, :] if self.flip_rows else frame
        return np.swapaxes(frame, -1, -2) if self.transposed else frame
