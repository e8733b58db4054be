"""A classifier's evidence per place, brought back onto the picture it was given."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from plugin.analysis.preprocess import resize, short_side_shape

FloatArray = npt.NDArray[np.float32]


def attention_map(
    evidence: FloatArray,
    *,
    rows: int,
    columns: int,
    input_shape: tuple[int, int],
    short_side: int | None,
) -> FloatArray:
    """Evidence (h, w) of one class as a map over a picture of (rows, columns): float32 in [0, 1].

    Only evidence for the class counts: negative values become 0, the greatest becomes 1; without any the
    map is 0. ``input_shape`` and ``short_side`` say how the picture came to the network: stretched to
    ``input_shape`` (None), or brought to that shorter side and cropped in the middle. NaN where the
    network did not look.
    """
    positive = np.maximum(np.nan_to_num(evidence.astype(np.float32)), 0)
    top, left, bottom, right = seen(
        rows=rows, columns=columns, input_shape=input_shape, short_side=short_side
    )
    inside = np.maximum(resize(positive, bottom - top, right - left), 0)
    greatest = float(inside.max())
    placed = np.full((rows, columns), np.nan, dtype=np.float32)
    placed[top:bottom, left:right] = inside / greatest if greatest > 0 else 0
    return placed


def seen(
    *, rows: int, columns: int, input_shape: tuple[int, int], short_side: int | None
) -> tuple[int, int, int, int]:
    """The part of a picture that reaches a network: (top, left, bottom, right) in its pixels.

    The inverse of ``preprocess.short_side_shape`` and ``preprocess.central_crop``.
    """
    if short_side is None:
        return 0, 0, rows, columns
    scaled_rows, scaled_columns = short_side_shape(rows, columns, short_side)
    height, width = input_shape
    top, left = (scaled_rows - height) // 2, (scaled_columns - width) // 2
    down, across = rows / scaled_rows, columns / scaled_columns
    return (
        round(top * down),
        round(left * across),
        round((top + height) * down),
        round((left + width) * across),
    )
