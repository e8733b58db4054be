"""A radiograph as a viewer shows it: modality LUT, VOI LUT or window, inversion (DICOM PS3.4 Annex N.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from plugin.dicom import headers, pixels

FloatArray = npt.NDArray[np.float32]


@np.errstate(over="ignore", invalid="ignore")  # a header's numbers may be beyond float32: that is looked at
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
    """Modality LUT or rescale (DICOM PS3.3 C.11.1). One too large to compute with counts as missing, like one
    that is no number: a slope of 1e300 says nothing of a film."""
    values = stored.astype(np.float32)
    table = _first_table(dataset, "ModalityLUTSequence")
    if table is not None:
        return table.look_up(values)
    slope = headers.number(dataset, "RescaleSlope") or 1.0
    intercept = headers.number(dataset, "RescaleIntercept") or 0.0
    rescaled: FloatArray = values * np.float32(slope) + np.float32(intercept)
    return rescaled if np.isfinite(rescaled).all() else values


def _voi_lut(dataset: Dataset, values: FloatArray) -> FloatArray | None:
    """The first VOI LUT (DICOM PS3.3 C.11.2.1.1) scaled by its own range; None where there is none."""
    table = _first_table(dataset, "VOILUTSequence")
    if table is None:
        return None
    low, high = table.entries.min(), table.entries.max()
    return (table.look_up(values) - low) / (high - low) if high > low else None


@dataclass(frozen=True)
class _Table:
    """A look-up table: its entries, and the value that the first stands for."""

    first: float
    entries: FloatArray

    def look_up(self, values: FloatArray) -> FloatArray:
        """The entry of each value; outside the table the first or the last (DICOM PS3.3 C.11.1.1.1)."""
        first = self.first
        if first >= 2**15 and values.min() < 0:  # a negative first value that was read as unsigned
            first -= 2**16
        index = np.clip(np.rint(values - np.float32(first)), 0, len(self.entries) - 1)
        looked_up: FloatArray = self.entries[index.astype(np.int32)]
        return looked_up


def _first_table(dataset: Dataset, keyword: str) -> _Table | None:
    """The first table of a LUT sequence, in whichever value representation; None where unusable."""
    item = next(iter(headers.items(dataset, keyword)), None)
    descriptor = () if item is None else headers.numbers(item, "LUTDescriptor")
    if item is None or len(descriptor) != 3:
        return None
    raw = item.get("LUTData")
    if isinstance(raw, bytes):
        entries = np.frombuffer(raw[: len(raw) // 2 * 2], dtype="<u2").astype(np.float32)
    else:
        entries = np.asarray(headers.numbers(item, "LUTData"), dtype=np.float32)
    return _Table(descriptor[1], entries) if entries.size else None


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
