"""The phantom as a CT scanner would show it: table, noise, whole Hounsfield units."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from demo.phantom.anatomy import Anatomy
from demo.phantom.canvas import Array, Slice

SIZE = 512
PIXEL_MM = 0.703125
SLICE_MM = 2.5
SLICES = 136
LOWEST_MM = -190.0
NOISE_HU = 24.0
_WORKERS = 2


def positions() -> npt.NDArray[np.float64]:
    """The heights of the slices from foot to head, in mm."""
    return np.asarray(LOWEST_MM + SLICE_MM * np.arange(SLICES), np.float64)


def pixel_centres() -> Array:
    """x of the columns and y of the rows, in mm."""
    return ((np.arange(SIZE) - (SIZE - 1) / 2) * PIXEL_MM).astype(np.float32)


def scan(seed: int) -> Iterator[npt.NDArray[np.int16]]:
    """The slices from foot to head: HU, rows to posterior, columns to the patient's left."""
    anatomy = Anatomy(seed, upright=False)
    grains = _grains(np.random.default_rng(seed))
    along = pixel_centres()

    def one(index: int) -> npt.NDArray[np.int16]:
        hu = anatomy.paint(float(positions()[index]), along, along)
        _paint_table(hu, along)
        hu += _noise(np.random.default_rng((seed, index)), grains)
        return np.rint(np.clip(hu, -1024, 3071)).astype(np.int16)

    with ThreadPoolExecutor(_WORKERS) as pool:
        yield from pool.map(one, range(SLICES))


def _paint_table(hu: Array, along: Array) -> None:
    """A curved table top: two thin shells around foam."""
    piece = Slice(0.0, along, along, PIXEL_MM, PIXEL_MM, hu)
    below = piece.rows - (138 - 0.0009 * piece.columns**2)
    for depth, thick, value in ((6, 6, -930.0), (0, 0.9, -350.0), (12, 0.9, -350.0)):
        piece.paint(np.abs(below - depth) - thick, value)


def _grains(rng: np.random.Generator) -> Array:
    """Pictures of noise with a scanner's grain: little of the finest and none of the coarse."""
    white = rng.standard_normal((6, SIZE, SIZE), np.float32)
    fine = ndimage.gaussian_filter(white, (0, 0.75, 0.75), mode="wrap")
    fine -= 0.8 * ndimage.gaussian_filter(white, (0, 2.5, 2.5), mode="wrap")
    return np.asarray(NOISE_HU * fine / fine.std(), np.float32)


def _noise(rng: np.random.Generator, grains: Array) -> Array:
    grain = grains[rng.integers(len(grains))] * rng.choice([-1, 1])
    return np.asarray(np.roll(grain, rng.integers(SIZE, size=2), (0, 1)))
