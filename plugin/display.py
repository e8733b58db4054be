"""A radiograph as a viewer shows it: modality LUT, VOI LUT or window, inversion (DICOM PS3.4 Annex N.2)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from plugin import headers, pixels

FloatArray = npt.NDArray[np.float32]


def display_values(dataset: Dataset, stored: pixels.StoredArray) -> FloatArray:
    """Stored values as a viewer shows them, float32 in [0, 1], dense is bright.

    Modality LUT or rescale, then the first VOI LUT or window, then the inversion of MONOCHROME1
    (DICOM PS3.4 Annex N.2). Without a VOI transformation, or where it leaves no contrast, the 0.5th to
    99.5th percentile. Padding is black.
    """
    padded = pixels.padding(dataset, stored)
    real = np.ones(stored.shape, dtype=np.bool_) if padded is None else ~padded
    values = _modality_values(dataset, stored)
    shown = _voi_lut(dataset, values)
    if shown is None:
        shown = _voi_window(dataset, values)
    if shown is None or not _has_contrast(shown, real):
        shown = _percentiles(values, real)
    inverse = headers.text(dataset, "PresentationLUTShape") == "INVERSE"
    if inverse or headers.text(dataset, "PhotometricInterpretation") == "MONOCHROME1":
        shown = 1 - shown
    shown[~real] = 0
    return shown


def _modality_values(dataset: Dataset, stored: pixels.StoredArray) -> FloatArray:
    """Modality LUT or rescale (DICOM PS3.3 C.11.1)."""
    values = stored.astype(np.float32)
    looked_up = _look_up(dataset, "ModalityLUTSequence", values)
    if looked_up is not None:
        return looked_up
    slope = headers.number(dataset, "RescaleSlope") or 1.0
    intercept = headers.number(dataset, "RescaleIntercept") or 0.0
    return values * np.float32(slope) + np.float32(intercept)


def _voi_lut(dataset: Dataset, values: FloatArray) -> FloatArray | None:
    """The first VOI LUT (DICOM PS3.3 C.11.2.1.1) scaled by what it gives; None where there is none."""
    looked_up = _look_up(dataset, "VOILUTSequence", values)
    if looked_up is None:
        return None
    low, high = float(looked_up.min()), float(looked_up.max())
    if high <= low:
        return None
    return (looked_up - np.float32(low)) / np.float32(high - low)


def _look_up(dataset: Dataset, keyword: str, values: FloatArray) -> FloatArray | None:
    """Values put through the first LUT of a sequence; None where there is no usable one.

    Values outside the table take its first or last entry (DICOM PS3.3 C.11.1.1.1).
    """
    item = next(iter(headers.items(dataset, keyword)), None)
    descriptor = () if item is None else headers.numbers(item, "LUTDescriptor")
    if item is None or len(descriptor) != 3:
        return None
    table = _lut_data(item)
    if table is None:
        return None
    first = descriptor[1]
    if first >= 2**15 and values.min() < 0:  # a negative first value that was read as unsigned
        first -= 2**16
    index = np.clip(np.rint(values - np.float32(first)), 0, len(table) - 1).astype(np.int32)
    looked_up: FloatArray = table[index]
    return looked_up


def _lut_data(item: Dataset) -> FloatArray | None:
    """LUT Data (0028,3006) as numbers, whichever value representation it was written in."""
    raw = item.get("LUTData")
    if isinstance(raw, bytes):
        numbers = np.frombuffer(raw[: len(raw) // 2 * 2], dtype="<u2").astype(np.float32)
    else:
        numbers = np.asarray(headers.numbers(item, "LUTData"), dtype=np.float32)
    return numbers if numbers.size else None


def _voi_window(dataset: Dataset, values: FloatArray) -> FloatArray | None:
    """The first window (DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3); None where there is no usable one."""
    centre, width = headers.number(dataset, "WindowCenter"), headers.number(dataset, "WindowWidth")
    function = headers.text(dataset, "VOILUTFunction") or "LINEAR"
    if centre is None or width is None or width <= (1 if function == "LINEAR" else 0):
        return None
    if function == "SIGMOID":
        exponent = np.clip(-4 * (values - np.float32(centre)) / np.float32(width), -80, 80)
        sigmoid: FloatArray = 1 / (1 + np.exp(exponent))
        return sigmoid
    if function == "LINEAR_EXACT":
        shown = (values - np.float32(centre)) / np.float32(width) + np.float32(0.5)
    else:
        shown = (values - np.float32(centre - 0.5)) / np.float32(width - 1) + np.float32(0.5)
    clipped: FloatArray = np.clip(shown, 0, 1)
    return clipped


def _has_contrast(shown: FloatArray, real: npt.NDArray[np.bool_]) -> bool:
    sample = shown[::4, ::4][real[::4, ::4]]
    if sample.size == 0:
        return False
    low, high = np.percentile(sample, [2.5, 97.5])
    return bool(high - low > 0.02)


def _percentiles(values: FloatArray, real: npt.NDArray[np.bool_]) -> FloatArray:
    sample = values[::4, ::4][real[::4, ::4]]
    if sample.size == 0:
        return np.zeros(values.shape, dtype=np.float32)
    low, high = (np.float32(value) for value in np.percentile(sample, [0.5, 99.5]))
    if high <= low:
        return np.zeros(values.shape, dtype=np.float32)
    scaled: FloatArray = np.clip((values - low) / (high - low), 0, 1)
    return scaled
