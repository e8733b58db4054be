"""The phantom as a digital radiography system would show it: a posterior-anterior chest film."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from demo.phantom.anatomy import Anatomy
from demo.phantom.canvas import Array

SIZE = 2200
PIXEL_MM = 0.138
TOP_MM = 146.0
WATER_PER_MM = 0.019
"""Attenuation of water per mm at the energy of a chest film."""

_CELL_MM = 0.8
_DEPTH_MM = 1.5
_SCATTER = 0.35
_WORKERS = 2


def film(seed: int) -> npt.NDArray[np.uint16]:
    """The film, 12 bits, dense is bright: rows from head to foot, columns to the patient's left."""
    paths = _paths(Anatomy(seed, upright=True))
    arriving = np.exp(-paths)
    arriving += _SCATTER * ndimage.gaussian_filter(arriving, 25 / _CELL_MM, mode="nearest")
    exposure = np.asarray(np.log(np.clip(_enlarged(arriving), 1e-4, None)), np.float32)
    rng = np.random.default_rng(seed)
    grain = ndimage.gaussian_filter(rng.standard_normal((SIZE, SIZE), np.float32), 0.6)
    exposure += 0.012 * np.exp(-exposure / 2) * grain  # fewer photons, more noise
    return _displayed(-exposure)


def _paths(anatomy: Anatomy) -> Array:
    """Attenuation along each ray from back to front, as if the source stood far away."""
    count = round(SIZE * PIXEL_MM / _CELL_MM)
    x = ((np.arange(count) - (count - 1) / 2) * _CELL_MM).astype(np.float32)
    y = np.arange(-150, 165, _DEPTH_MM, dtype=np.float32)

    def one(row: int) -> Array:
        hu = anatomy.paint(TOP_MM - _CELL_MM * row, x, y)
        return np.asarray(_DEPTH_MM * WATER_PER_MM * (1 + hu / 1000).sum(axis=0), np.float32)

    with ThreadPoolExecutor(_WORKERS) as pool:
        return np.stack(list(pool.map(one, range(count))))


def _enlarged(picture: Array) -> Array:
    factor = SIZE / picture.shape[0]
    return np.asarray(ndimage.zoom(picture, factor, order=3, mode="nearest", grid_mode=True))


def _displayed(attenuation: Array) -> npt.NDArray[np.uint16]:
    """What a system's processing makes of it: large differences damped, details raised, an S-curve."""
    small = ndimage.zoom(attenuation, 0.1, order=1, grid_mode=True, mode="nearest")
    broad = ndimage.gaussian_filter(small, 15 / (10 * PIXEL_MM))
    broad = ndimage.zoom(broad, 10, order=1, grid_mode=True, mode="nearest")
    level = 0.8 * broad + 1.3 * (attenuation - broad)
    shown = 1 / (1 + np.exp(-2.1 * (level - 1.9)))
    return np.asarray(np.rint(4095 * np.clip(shown, 0, 1)), np.uint16)
