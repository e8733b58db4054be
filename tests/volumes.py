"""Synthetic volumes for the tests of what is trained on patches."""

from __future__ import annotations

import numpy as np

from export.data.ct_patches import Stored, kind_of


def stored(name: str, kind: str, shape: tuple[int, int, int] = (40, 50, 60)) -> Stored:
    """A bright ball that is the finding, off the middle, in the dark; no finding in the kind "other"."""
    centre = [length * share for length, share in zip(shape, (0.625, 0.3, 0.667), strict=True)]
    ball = sum((axis - middle) ** 2 for axis, middle in zip(np.indices(shape), centre, strict=True)) < 64
    image = np.where(ball, 200, 20).astype(np.uint8)
    lesion = np.where(ball & (kind != "other"), 255, 0).astype(np.uint8)
    return Stored(name, kind, image, lesion, np.where(image > 0, 255, 0).astype(np.uint8))


def stored_of(name: str, **_grid: object) -> Stored:
    """A small one in the place of ``load_stored``."""
    return stored(name, kind_of(name), (18, 36, 34))
