"""Masks on coarser cells and back."""

from __future__ import annotations

import numpy as np
import pytest

from plugin.analysis.grid import Grid, bounding_box, components, grow


@pytest.mark.parametrize("spacing", [(0.5, 0.7, 0.7), (5.0, 0.35, 0.9), (2.5, 3.0, 3.0)])
@pytest.mark.parametrize("shape", [(20, 31, 33), (7, 40, 23)])
def test_labels_go_back_onto_exactly_the_mask(
    spacing: tuple[float, float, float], shape: tuple[int, int, int]
) -> None:
    mask = np.zeros(shape, dtype=np.bool_)
    mask[1:-1, 3:-2, 5:] = True
    mask[2:4, 10:14, 8:12] = False
    grid = Grid.of(mask, spacing)
    assert grid is not None
    np.testing.assert_array_equal(grid.spread(grid.cells.astype(np.uint8), mask), mask)
    assert all(size <= 3.0 or factor == 1 for size, factor in zip(grid.size, grid.factors, strict=True))
    assert grid.column(5 + 3 * grid.factors[2]) == 3


def test_an_empty_mask_has_no_grid_and_no_box() -> None:
    assert Grid.of(np.zeros((2, 3, 4), dtype=np.bool_), (1, 1, 1)) is None
    assert bounding_box(np.zeros((2, 3, 4), dtype=np.bool_)) is None


def test_bounding_box() -> None:
    mask = np.zeros((9, 8, 7), dtype=np.bool_)
    mask[2, 3, 4] = mask[5, 6, 1] = True
    assert bounding_box(mask) == (slice(2, 6), slice(3, 7), slice(1, 5))


def test_labels_grow_through_the_region_only() -> None:
    region = np.zeros((1, 1, 12), dtype=np.bool_)
    region[..., :5] = region[..., 7:] = True
    labels = np.zeros((1, 1, 12), dtype=np.uint8)
    labels[0, 0, 1] = 2
    np.testing.assert_array_equal(grow(labels, region)[0, 0], [2, 2, 2, 2, 2, 0, 0, 0, 0, 0, 0, 0])


def test_components_are_26_connected() -> None:
    mask = np.zeros((3, 3, 3), dtype=np.bool_)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    _, sizes = components(mask)
    np.testing.assert_array_equal(sizes, [0, 2])
