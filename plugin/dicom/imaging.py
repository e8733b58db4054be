"""From instances to arrays with geometry: all pixel data is read here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from plugin.dicom import geometry, headers
from plugin.dicom.helper import Budget, helper
from plugin.domain.errors import InconsistentPixels, NoContrast, TooLarge, UnusableGeometry

MAX_FILM_PIXELS = 6144**2
MAX_VOLUME_VOXELS = 2000 * 512**2
MAX_HEADERS_BYTES = 256 << 20
"""What the headers of one series may take together."""


class SeriesSource(Protocol):
    """Where the instances of one series come from: Orthanc, or a folder in tests and benchmarks."""

    @property
    def instance_ids(self) -> Sequence[str]:
        """The instances, in any order."""

    def read(self, instance_id: str) -> bytes:
        """The DICOM file of one instance.

        Raises LookupError where it no longer exists, TooLarge beyond the source's limit.
        """


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One instance's header, without its pixels."""

    instance_id: str
    header: Dataset
    """What is kept of the dataset, with file meta (see ``plugin.dicom.files.header_of``)."""
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
    ``positions``: where each slice lies along the slices' normal in mm, increasing, shape (slices,).
    ``thickness``: mm that each slice stands for (half the way to either neighbour), shape (slices,);
    the sum over a mask of thickness x pixel area is its volume, also where the spacing varies.
    ``transposed``, ``flip_rows``, ``flip_columns``: how a source frame becomes a canonical slice:
    transpose first, then reverse the rows, then the columns.
    """

    hu: npt.NDArray[np.int16]
    sources: tuple[Instance, ...]
    spacing: tuple[float, float, float]
    positions: npt.NDArray[np.float64]
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


def read_instances(source: SeriesSource) -> tuple[Instance, ...]:
    """The headers of all instances of a series, one file in memory at a time.

    Raises ImagingError (``code`` says why) for what is not DICOM or goes beyond a limit of memory or
    time, LookupError where an instance no longer exists, OSError as ``plugin.dicom.helper`` does.
    """
    budget, instances, size = Budget(len(source.instance_ids)), [], 0
    for identity in source.instance_ids:
        header, has_pixels, more = helper.header(source.read(identity), budget=budget, instance_id=identity)
        size += more
        if size > MAX_HEADERS_BYTES:
            raise TooLarge(f"the headers of the series have more than {MAX_HEADERS_BYTES >> 20} MiB")
        instances.append(Instance(instance_id=identity, header=header, has_pixels=has_pixels))
    return tuple(instances)


def read_xray(source: SeriesSource, instance: Instance, *, max_pixels: int = MAX_FILM_PIXELS) -> XrayImage:
    """Decode a radiograph for display (see ``plugin.dicom.display.display_values``).

    Raises as :func:`read_instances`, also where the picture would have more than ``max_pixels``.
    """
    identity = instance.instance_id
    data = source.read(identity)
    film = helper.film(data, budget=Budget(1), instance_id=identity, max_pixels=max_pixels)
    return XrayImage(source=instance, pixels=film)


def read_ct(
    source: SeriesSource,
    instances: Sequence[Instance],
    *,
    on_slice: Callable[[int, npt.NDArray[np.int16]], None] | None = None,
    max_voxels: int = MAX_VOLUME_VOXELS,
    min_hu_range: float = 100,
) -> CtVolume:
    """Decode the slices of a CT series, one at a time from feet to head, into a canonical volume.

    ``on_slice(k, slice)`` is told each canonical slice (int16 HU, a view) as soon as it is decoded; what
    it raises ends the reading. Raises ImagingError where a slice cannot be read, does not fit the others,
    the volume would have more than ``max_voxels``, or its HU span less than ``min_hu_range`` outside the
    padding; LookupError where an instance no longer exists.
    """
    stack = stack_of(instances)
    rows, columns = _common_shape(instances, max_voxels)
    shape = (columns, rows) if stack.transposed else (rows, columns)
    hu = np.empty((len(instances), *shape), dtype=np.int16)
    sources = tuple(instances[index] for index in stack.order)
    least, greatest = [], []
    budget = Budget(len(sources))
    for k, instance in enumerate(sources):
        identity = instance.instance_id
        frame, low, high = helper.ct_slice(
            source.read(identity), budget=budget, instance_id=identity, max_pixels=rows * columns
        )
        if frame.shape != (rows, columns):
            message = f"a slice of {frame.shape} pixels in a series of {(rows, columns)}"
            raise InconsistentPixels(message, instance_id=identity)
        least.append(low)
        greatest.append(high)
        hu[k] = stack.canonical(frame)
        if on_slice is not None:
            on_slice(k, hu[k])
    if max(greatest) - min(least) < min_hu_range:
        span = max(greatest) - min(least)
        raise NoContrast(f"the Hounsfield units span {span} HU: at least {min_hu_range:g} are needed")
    return CtVolume(
        hu=hu,
        sources=sources,
        spacing=(stack.spacing, *stack.pixel_spacing),
        positions=stack.positions,
        thickness=stack.thickness,
        transposed=stack.transposed,
        flip_rows=stack.flip_rows,
        flip_columns=stack.flip_columns,
    )


def stack_of(instances: Sequence[Instance]) -> geometry.Stack:
    """Where the slices lie (see ``plugin.dicom.geometry.Stack``). Raises UnusableGeometry."""
    try:
        return geometry.stack([instance.header for instance in instances])
    except ValueError as error:
        raise UnusableGeometry(str(error)) from error


def _common_shape(instances: Sequence[Instance], max_voxels: int) -> tuple[int, int]:
    header = instances[0].header
    rows, columns = (int(headers.number(header, keyword) or 0) for keyword in ("Rows", "Columns"))
    voxels = len(instances) * rows * columns
    if voxels > max_voxels:
        message = f"{len(instances)} slices of {rows} x {columns} are {voxels} voxels: limit {max_voxels}"
        raise TooLarge(message)
    return rows, columns
