"""The self-test of a card: a picture made from a seed, and what the network must answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

Pattern = Literal["noise", "squares"]
#: Pixels along each side of a square of the self-test's picture.
SQUARE = 16


class SelfTest(BaseModel, extra="forbid", frozen=True):
    """A seeded input and the expected values of the first output.

    The input is ``numpy.random.default_rng(seed).random``, put through the card's mean and std: ``noise`` of
    every value, or ``squares`` (for volumes cubes) of 16 pixels of one grey, which are more like a picture:
    a network without bounds on its features may answer noise with anything. ``expected`` are the first
    values of the first output, flattened.
    """

    seed: int
    pattern: Pattern = "noise"
    expected: tuple[float, ...]
    tolerance: float = Field(gt=0)


def self_test_picture(
    seed: int, pattern: Pattern, shape: Sequence[int], mean: Sequence[float], std: Sequence[float]
) -> npt.NDArray[np.float32]:
    """The input of a :class:`SelfTest`, of ``shape`` (N, C, H, W) or (N, C, D, H, W)."""
    draw = np.random.default_rng(seed)
    if pattern == "noise":
        values = draw.random(tuple(shape), dtype=np.float32)
    else:
        count, _, *sides = shape
        values = draw.random((count, 1, *(-(-side // SQUARE) for side in sides)), dtype=np.float32)
        for axis, side in enumerate(sides, start=2):
            values = values.repeat(SQUARE, axis=axis).take(range(side), axis=axis)
    per_channel = (-1, *(1 for _ in shape[2:]))
    offset, scale = (np.asarray(values_, dtype=np.float32).reshape(per_channel) for values_ in (mean, std))
    return (values - offset) / scale
