"""From stored pixel data to meaningful numbers: decoding, padding, Hounsfield units.

What is not one grey image of the declared size is refused here with an
:class:`~plugin.domain.errors.ImagingError`, before a decoder spends memory on it.
"""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import JPEGLSLossless, JPEGLSNearLossless

from plugin.dicom import headers
from plugin.dicom.codestream import checked
from plugin.domain.errors import ImagingError, InconsistentPixels, TooLarge, UndecodablePixels

log = logging.getLogger(__name__)

StoredArray = npt.NDArray[np.integer]

AIR_HU = -1024
"""What padding outside a CT's field of view becomes."""

_JPEG_LS = frozenset({JPEGLSLossless, JPEGLSNearLossless})
"""Decoded by pyjpegls: three times as fast as pylibjpeg, which pydicom would take first."""


def stored_values(dataset: Dataset, *, max_pixels: int) -> StoredArray:
    """Decode the one frame of a single-sample image, (rows, columns), values as stored.

    Bits beyond Bits Stored are dropped, and signed values of fewer bits are extended
    (DICOM PS3.5 Section 8.1.1). Raises TooLarge, InconsistentPixels or UndecodablePixels.
    """
    shape, bits = _declared(dataset, max_pixels=max_pixels)
    syntax = getattr(dataset.file_meta, "TransferSyntaxUID", None)
    try:
        if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
            frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
            codestream = checked(frame, shape, bits)
            if codestream is not frame:
                dataset.PixelData = encapsulate([codestream])
        if syntax in _JPEG_LS:
            dataset.pixel_array_options(decoding_plugin="pyjpegls")
        decoded = dataset.pixel_array
    except (MemoryError, ImagingError):
        raise
    except Exception as error:
        log.warning("the pixel data is not decoded: %s", " ".join(str(error).split())[:300])
        name = getattr(syntax, "name", "of an unknown transfer syntax")
        message = f"the pixel data ({name}) cannot be decoded: it is damaged, cut short or of another kind"
        raise UndecodablePixels(message) from error
    if decoded.shape != shape:
        raise InconsistentPixels(f"the pixel data is {decoded.shape}, the header declares {shape}")
    return _valid_bits(dataset, decoded)


def _declared(dataset: Dataset, *, max_pixels: int) -> tuple[tuple[int, int], int]:
    """(rows, columns) and Bits Allocated, where they are those of one grey frame."""
    if "PixelData" not in dataset:
        raise UndecodablePixels("the instance has no pixel data")
    rows, columns, allocated = (
        int(headers.number(dataset, keyword) or 0) for keyword in ("Rows", "Columns", "BitsAllocated")
    )
    frames = headers.number(dataset, "NumberOfFrames") or 1
    samples = headers.number(dataset, "SamplesPerPixel") or 1
    if rows < 1 or columns < 1 or allocated < 1:
        raise InconsistentPixels(f"Rows {rows}, Columns {columns}, BitsAllocated {allocated}: not an image")
    if frames != 1 or samples != 1:
        raise InconsistentPixels(f"{frames:g} frames of {samples:g} samples: only one grey frame is read")
    if rows * columns > max_pixels:
        raise TooLarge(f"{rows} x {columns} pixels are {rows * columns}: limit {max_pixels}")
    return (rows, columns), allocated


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
    if slope.is_integer() and intercept.is_integer() and abs(slope) < 2**14 and abs(intercept) < 2**30:
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
