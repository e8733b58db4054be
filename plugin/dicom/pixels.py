"""Stored pixel data to numbers with a meaning: decoding, padding, Hounsfield units.

Everything that a hostile or broken file can do to a decoder is refused here with an
:class:`~plugin.domain.errors.ImagingError`, before memory is spent on it.
"""

from __future__ import annotations

import math
import re

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.uid import JPEGLSLossless, JPEGLSNearLossless

from plugin.dicom import headers
from plugin.domain.errors import ImagingError, InconsistentPixels, TooLarge, UndecodablePixels

StoredArray = npt.NDArray[np.integer]

AIR_HU = -1024
"""What padding outside a CT's field of view becomes."""

_JPEG_LS = frozenset({JPEGLSLossless, JPEGLSNearLossless})
"""Decoded by pyjpegls: three times as fast as pylibjpeg, which pydicom would take first."""

_SHAPE = re.compile(rb"\xff\x4f\xff\x51")
_STANDALONE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
_FRAME_MARKERS = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}


def stored_values(dataset: Dataset, *, instance_id: str, max_bytes: int) -> StoredArray:
    """Decode the one frame of a single-sample image, (rows, columns), values as stored.

    Bits beyond Bits Stored are dropped, and signed values of fewer bits are extended
    (DICOM PS3.5 Section 8.1.1). Raises TooLarge, InconsistentPixels or UndecodablePixels.
    """
    shape = _declared_shape(dataset, instance_id=instance_id, max_bytes=max_bytes)
    syntax = getattr(dataset.file_meta, "TransferSyntaxUID", None)
    try:
        _check_codestream(dataset, shape, instance_id=instance_id)
        if syntax in _JPEG_LS:
            dataset.pixel_array_options(decoding_plugin="pyjpegls")
        decoded = dataset.pixel_array
    except (MemoryError, ImagingError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        message = f"the pixel data ({getattr(syntax, 'name', 'unknown')}) cannot be decoded: {reason}"
        raise UndecodablePixels(message, instance_id=instance_id) from error
    if decoded.shape != shape:
        message = f"the pixel data is {decoded.shape}, the header declares {shape}"
        raise InconsistentPixels(message, instance_id=instance_id)
    return _valid_bits(dataset, decoded)


def _declared_shape(dataset: Dataset, *, instance_id: str, max_bytes: int) -> tuple[int, int]:
    if "PixelData" not in dataset:
        raise UndecodablePixels("the instance has no pixel data", instance_id=instance_id)
    rows, columns, allocated = (
        int(headers.number(dataset, keyword) or 0) for keyword in ("Rows", "Columns", "BitsAllocated")
    )
    frames = int(headers.number(dataset, "NumberOfFrames") or 1)
    samples = int(headers.number(dataset, "SamplesPerPixel") or 1)
    if rows < 1 or columns < 1 or allocated < 1:
        message = f"Rows {rows}, Columns {columns}, BitsAllocated {allocated}: not an image"
        raise InconsistentPixels(message, instance_id=instance_id)
    if frames != 1 or samples != 1:
        message = f"{frames} frames of {samples} samples: only one grey frame is read"
        raise InconsistentPixels(message, instance_id=instance_id)
    size = rows * columns * math.ceil(allocated / 8)
    if size > max_bytes:
        message = f"{rows} x {columns} pixels of {allocated} bits are {size} bytes: limit {max_bytes}"
        raise TooLarge(message, instance_id=instance_id)
    return rows, columns


def _check_codestream(dataset: Dataset, shape: tuple[int, int], *, instance_id: str) -> None:
    """Refuse compressed data whose own size is not the declared one: decoders trust theirs."""
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        found = codestream_shape(get_frame(dataset.PixelData, 0, number_of_frames=1))
        if found is not None and found != shape:
            message = f"the compressed pixel data is {found}, the header declares {shape}"
            raise InconsistentPixels(message, instance_id=instance_id)


def codestream_shape(frame: bytes) -> tuple[int, int] | None:
    """(rows, columns) that a JPEG, JPEG-LS or JPEG 2000 codestream declares; None for others.

    JPEG: ITU-T T.81 B.2.2 (frame header), JPEG-LS: T.87 C.2.2, JPEG 2000: T.800 A.5.1 (SIZ).
    """
    size_marker = _SHAPE.search(frame[:4096])
    if size_marker is not None:
        fields = frame[size_marker.end() + 4 : size_marker.end() + 20]
        if len(fields) < 16:
            return None
        width, height, left, top = (int.from_bytes(fields[i : i + 4], "big") for i in (0, 4, 8, 12))
        return height - top, width - left
    if frame[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker in _FRAME_MARKERS:
            rows, columns = (int.from_bytes(frame[at + i : at + i + 2], "big") for i in (5, 7))
            return rows, columns
        standalone = marker in _STANDALONE_MARKERS or marker == 0xFF
        length = 0 if standalone else int.from_bytes(frame[at + 2 : at + 4], "big")
        at += (1 if marker == 0xFF else 2) + length
    return None


def _valid_bits(dataset: Dataset, values: StoredArray) -> StoredArray:
    allocated, stored = 8 * values.dtype.itemsize, headers.number(dataset, "BitsStored")
    if stored is None or not 1 <= stored < allocated:
        return values
    unused = allocated - int(stored)
    shifted: StoredArray = np.right_shift(np.left_shift(values, unused), unused)
    return shifted


def padding(dataset: Dataset, stored: StoredArray) -> npt.NDArray[np.bool_] | None:
    """Where pixels are padding (DICOM PS3.3 C.7.5.1.1.2), same shape; None where there is none."""
    value = headers.number(dataset, "PixelPaddingValue")
    if value is None:
        return None
    limit = headers.number(dataset, "PixelPaddingRangeLimit")
    bounds = [_as_stored(bound, stored.dtype) for bound in (value, value if limit is None else limit)]
    mask = (stored >= min(bounds)) & (stored <= max(bounds))
    return mask if mask.any() else None


def _as_stored(value: float, dtype: np.dtype[np.integer]) -> int:
    """A padding value in the signedness of the pixels, whichever it was written in."""
    limits, span = np.iinfo(dtype), 1 << (8 * dtype.itemsize)
    whole = int(value)
    if limits.min <= whole <= limits.max:
        return whole
    return whole - span if whole > limits.max else whole + span


def hounsfield(dataset: Dataset, stored: StoredArray) -> tuple[npt.NDArray[np.int16], int, int]:
    """Stored values as int16 HU, with the least and the greatest HU outside the padding.

    HU are rounded and clipped to int16; padding becomes air (-1024 HU). All padding: 0 and 0.
    """
    slope = headers.number(dataset, "RescaleSlope")
    intercept = headers.number(dataset, "RescaleIntercept")
    slope = 1.0 if slope is None else slope
    intercept = 0.0 if intercept is None else intercept
    rescaled: npt.NDArray[np.signedinteger | np.floating]
    if slope.is_integer() and intercept.is_integer() and abs(slope) < 2**14:
        rescaled = stored.astype(np.int64 if stored.dtype.itemsize > 2 else np.int32)
        np.multiply(rescaled, int(slope), out=rescaled)
        np.add(rescaled, int(intercept), out=rescaled)
    else:
        rescaled = np.rint(stored * np.float64(slope) + intercept)
    limits = np.iinfo(np.int16)
    hu = np.clip(rescaled, limits.min, limits.max, out=rescaled).astype(np.int16)
    padded = padding(dataset, stored)
    if padded is None:
        return hu, int(hu.min()), int(hu.max())
    real = hu[~padded]
    hu[padded] = AIR_HU
    return (hu, int(real.min()), int(real.max())) if real.size else (hu, 0, 0)
