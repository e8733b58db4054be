"""Instances to arrays with geometry: the one place where pixel data is read."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from plugin.dicom import display, geometry, headers, pixels
from plugin.domain.errors import (
    InconsistentPixels,
    NoContrast,
    TooLarge,
    UnreadableInstance,
    UnusableGeometry,
)

log = logging.getLogger(__name__)

MAX_ELEMENT_BYTES = 64 * 1024
MAX_FRAME_BYTES = 256 * 1024**2
MAX_VOLUME_VOXELS = 600_000_000

_PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


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
    """The dataset with file meta, without pixel data, private elements and elements over 64 KiB."""
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


def read_instances(source: SeriesSource) -> tuple[Instance, ...]:
    """The headers of all instances of a series, one file in memory at a time.

    Raises UnreadableInstance for what is not DICOM, TooLarge for a file beyond the source's limit, and
    LookupError where an instance no longer exists.
    """
    return tuple(read_instance(source, instance_id) for instance_id in source.instance_ids)


def read_instance(source: SeriesSource, instance_id: str) -> Instance:
    """The header of one instance. Raises as :func:`read_instances`."""
    dataset = _parse(source, instance_id, defer_size=MAX_ELEMENT_BYTES)
    header = Dataset()  # a new one: what was parsed holds on to the whole file
    header.file_meta = dataset.file_meta
    for tag in list(dataset.keys()):
        if _is_bulk(dataset, tag):
            continue
        try:
            header[tag] = dataset[tag]
        except headers.UNREADABLE as error:
            log.warning("element %s cannot be read and counts as missing: %s", tag, error)
    has_pixels = any(keyword in dataset for keyword in _PIXEL_KEYWORDS)
    return Instance(instance_id=instance_id, header=header, has_pixels=has_pixels)


def _is_bulk(dataset: Dataset, tag: BaseTag) -> bool:
    """Pixels, private elements, and what was too large to be read at once."""
    if tag.is_private or tag.group == 0x7FE0:
        return True
    raw = dataset.get_item(tag, keep_deferred=True)
    return raw is not None and raw.value is None and getattr(raw, "length", 0) > MAX_ELEMENT_BYTES


def _parse(source: SeriesSource, instance_id: str, *, defer_size: int | None = None) -> Dataset:
    data = source.read(instance_id)
    try:
        return dcmread(io.BytesIO(data), defer_size=defer_size)
    except MemoryError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        message = f"the file cannot be read as DICOM: {reason}"
        raise UnreadableInstance(message, instance_id=instance_id) from error


def read_xray(source: SeriesSource, instance: Instance, *, max_bytes: int = MAX_FRAME_BYTES) -> XrayImage:
    """Decode a radiograph for display (see ``plugin.dicom.display.display_values``).

    Raises ImagingError where the pixels cannot be read (``code`` says why) or the decoded picture would
    have more than ``max_bytes``, and LookupError where the instance no longer exists.
    """
    dataset = _parse(source, instance.instance_id)
    stored = pixels.stored_values(dataset, instance_id=instance.instance_id, max_bytes=max_bytes)
    return XrayImage(source=instance, pixels=display.display_values(dataset, stored))


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
    for k, instance in enumerate(sources):
        dataset = _parse(source, instance.instance_id)
        identity = instance.instance_id
        stored = pixels.stored_values(dataset, instance_id=identity, max_bytes=MAX_FRAME_BYTES)
        if stored.shape != (rows, columns):
            message = f"a slice of {stored.shape} pixels in a series of {(rows, columns)}"
            raise InconsistentPixels(message, instance_id=identity)
        frame, low, high = pixels.hounsfield(dataset, stored)
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
