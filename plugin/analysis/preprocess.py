"""Pictures to network input: intensity rules, resizing, cropping, normalisation.

Training (``export/``) and the plugin call the same functions, so that both see the same pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

FloatArray = npt.NDArray[np.float32]
NumberArray = npt.NDArray[np.floating[Any] | np.integer[Any]]


def window(values: NumberArray, low: float, high: float) -> FloatArray:
    """Values clipped to [low, high] and scaled to [0, 1]. Any shape."""
    clipped = np.clip(values.astype(np.float32), low, high)
    return (clipped - np.float32(low)) / np.float32(high - low)


def percentile_window(values: NumberArray, low: float, high: float) -> FloatArray:
    """Values clipped to their own percentiles ``low`` and ``high`` (0-100), scaled to [0, 1].

    A picture without contrast becomes all zeros.
    """
    floor, ceiling = np.percentile(values, [low, high])
    if ceiling <= floor:
        return np.zeros(values.shape, dtype=np.float32)
    return window(values, float(floor), float(ceiling))


def equalise(values: NumberArray) -> FloatArray:
    """Histogram equalisation of a (rows, columns) picture over 4096 bins, to [0, 1].

    The lowest bin becomes 0 and is not counted, so that black collimation borders do not push the
    picture's greys together. A picture without contrast becomes all zeros.
    """
    bins = np.minimum(percentile_window(values, 0, 100) * 4096, 4095).astype(np.int32)
    counts = np.bincount(bins.ravel(), minlength=4096)
    counts[0] = 0
    cumulative = np.cumsum(counts) / max(int(counts.sum()), 1)
    return cumulative.astype(np.float32)[bins]


def resize(picture: FloatArray, rows: int, columns: int) -> FloatArray:
    """A (rows, columns) picture brought to another size, bilinear with antialiasing."""
    if picture.shape == (rows, columns):
        return picture
    resized = Image.fromarray(picture).resize((columns, rows), Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.float32)


def short_side_shape(rows: int, columns: int, size: int) -> tuple[int, int]:
    """The shape at which the shorter side of a picture has ``size`` pixels."""
    scale = size / min(rows, columns)
    return max(size, round(rows * scale)), max(size, round(columns * scale))


def central_crop(picture: FloatArray, rows: int, columns: int) -> FloatArray:
    """The middle (rows, columns) of a picture that is at least that large."""
    top, left = (picture.shape[0] - rows) // 2, (picture.shape[1] - columns) // 2
    return picture[top : top + rows, left : left + columns]


def normalise(picture: FloatArray, mean: Sequence[float], std: Sequence[float]) -> FloatArray:
    """A picture in [0, 1], (rows, columns) or (channels, rows, columns), less mean, over deviation.

    The result has a channel for each mean; a single picture is repeated to all of them.
    """
    offset = np.asarray(mean, dtype=np.float32)[:, None, None]
    scale = np.asarray(std, dtype=np.float32)[:, None, None]
    return (picture - offset) / scale
