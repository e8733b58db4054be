"""A classifier's evidence per place, on one scale for every picture, brought back onto the picture it was
given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plugin.analysis.preprocess import resize, short_side_shape

FloatArray = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Box = tuple[int, int, int, int]

FULL = float(np.log(1000.0))
"""The log odds above the operating point from which on the colour is full: a thousand times its odds."""

_PLACE = 0.5
"""A place counts half, the picture as a whole the other half: what a network sees in one place alone also
stands out on clear pictures."""


@dataclass(frozen=True, kw_only=True)
class AttentionMap:
    """The evidence for a finding, over a picture.

    ``shades``: float32 (rows, columns) in [0, 1], 0 outside the body, NaN where the network did not look.
    ``outside``: the share (0 to 1) of all shades that lay outside the body and was left out; ``located``:
    whether the network was measured to find the disease's place.
    """

    shades: FloatArray
    outside: float
    located: bool = False


def evidence_shades(evidence: FloatArray, *, margin: float, temperature: float) -> FloatArray:
    """The evidence of one class (h, w) in logits as shades in [0, 1], on the same scale for every picture.

    ``margin``: how far the picture's score is above its operating point, in log odds; ``temperature``:
    what the network's logits are divided by. A place is 0 up to where it and the picture, each counted
    half, reach the operating point, and 1 from :data:`FULL` above it on.
    """
    known = np.nan_to_num(evidence.astype(np.float32))
    above = (known - known.mean()) / temperature
    return np.asarray(np.clip((margin + _PLACE * above) / FULL, 0, 1), dtype=np.float32)


def located_shades(places: FloatArray, *, margin: float) -> FloatArray:
    """A map that was taught where (h, w), in log odds, as shades up to 1, on one scale for every picture.

    A place is 0 where the map fits readers' boxes best, 1 from :data:`FULL` above that on, and below 0 where
    the network sees nothing: between two places the border then lies where it belongs. On a picture that is
    not called, places lose what its score falls short of the operating point (``margin`` below 0): it hardly
    glows.
    """
    above = np.nan_to_num(places.astype(np.float32)) + min(margin, 0.0)
    return np.asarray(np.minimum(above / FULL, 1), dtype=np.float32)


def log_odds(probability: float) -> float:
    """The log odds of a probability, limited to what a million to one gives."""
    bounded = float(np.clip(probability, 1e-6, 1 - 1e-6))
    return float(np.log(bounded / (1 - bounded)))


def attention_map(
    shades: FloatArray,
    *,
    body: Mask,
    input_shape: tuple[int, int],
    short_side: int | None,
    box: Box | None = None,
    located: bool = False,
) -> AttentionMap:
    """Shades (h, w) placed over a picture of the shape of ``body``, without what lies outside the body; those
    below 0 are none.

    ``input_shape`` and ``short_side`` say how the picture came to the network: stretched to
    ``input_shape`` (None), or brought to that shorter side and cropped in the middle. ``box``: the part
    (top, left, bottom, right) that alone was given to the network, None for all of it; there is nothing
    beyond it. ``located`` is passed on.
    """
    rows, columns = body.shape
    top, left, bottom, right = box or seen(
        rows=rows, columns=columns, input_shape=input_shape, short_side=short_side
    )
    inside = np.clip(resize(shades, bottom - top, right - left), 0, 1)
    kept = inside * body[top:bottom, left:right]
    total = float(inside.sum())
    placed = np.full((rows, columns), np.nan if box is None else 0.0, dtype=np.float32)
    placed[top:bottom, left:right] = kept
    outside = 1 - float(kept.sum()) / total if total > 0 else 0.0
    return AttentionMap(shades=placed, outside=outside, located=located)


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
