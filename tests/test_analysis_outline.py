"""Outlines that are filled again give the mask back."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from plugin.analysis.outline import outlines


def inside(points: npt.NDArray[np.float64], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Pixels whose centre lies inside a closed outline, by the number of crossings to the right."""
    rows, columns = np.indices(shape) + 0.5
    found = np.zeros(shape, bool)
    for (x, y), (next_x, next_y) in pairwise(points):
        if y == next_y:
            continue
        spans = (y > rows) != (next_y > rows)
        found ^= spans & (columns < x + (rows - y) / (next_y - y) * (next_x - x))
    return found


def test_one_pixel() -> None:
    mask = np.zeros((3, 5), bool)
    mask[1, 3] = True
    (outline,) = outlines(mask)
    assert outline.tolist() == [[3.5, 1], [4, 1.5], [3.5, 2], [3, 1.5], [3.5, 1]]


def test_nothing_has_no_outline() -> None:
    assert outlines(np.zeros((4, 4), bool)) == []


@pytest.mark.parametrize("seed", range(6))
def test_every_part_is_outlined_exactly(seed: int) -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random((70, 90)), 2)
    mask = noise > np.quantile(noise, 0.7)
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    found = outlines(mask)
    assert len(found) == count
    areas = []
    for outline in found:
        assert (outline[0] == outline[-1]).all()
        filled = inside(outline, mask.shape)
        areas.append(filled.sum())
        part = labels == np.bincount(labels[filled & mask]).argmax()
        np.testing.assert_array_equal(filled, ndimage.binary_fill_holes(part))
    assert areas == sorted(areas, reverse=True)


def test_parts_that_touch_at_a_corner_are_one() -> None:
    mask = np.eye(4, dtype=bool)
    (outline,) = outlines(mask)
    np.testing.assert_array_equal(inside(outline, mask.shape), mask)


def test_a_disc_needs_few_points() -> None:
    rows, columns = np.indices((400, 400)) - 200
    disc = rows**2 + columns**2 < 150**2
    (outline,) = outlines(disc)
    assert len(outline) < 400
    np.testing.assert_array_equal(inside(outline, disc.shape), disc)


def test_a_ragged_outline_stays_within_what_dicom_can_hold() -> None:
    comb = np.ones((8, 3000), bool)
    comb[:-1, ::2] = False
    (outline,) = outlines(comb)
    assert len(outline) <= 4000
