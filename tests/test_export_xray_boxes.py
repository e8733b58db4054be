"""Average precision of a map's patches against readers' boxes, on maps whose answer is known."""

from __future__ import annotations

import pytest

pytest.importorskip("sklearn")

import numpy as np

from export.models.xray_boxes import average_precision, matched, overlap, patches

LEFT, RIGHT = (0.0, 0.0, 0.5, 0.5), (0.5, 0.5, 1.0, 1.0)


def test_patches_lie_where_the_map_is_positive() -> None:
    evidence = np.full((16, 16), -1.0, np.float32)
    evidence[4:8, 0:4] = 2.0
    evidence[12:14, 10:14] = 1.0
    (strong, first), (weak, second) = patches(evidence)
    assert strong > weak > 0
    np.testing.assert_allclose(first, (0, 4 / 16, 4 / 16, 8 / 16), atol=1 / 16)
    np.testing.assert_allclose(second, (10 / 16, 12 / 16, 14 / 16, 14 / 16), atol=1 / 16)
    assert patches(np.full((16, 16), -1.0, np.float32)) == []


def test_overlap_is_intersection_over_union() -> None:
    assert overlap(LEFT, LEFT) == 1
    assert overlap(LEFT, RIGHT) == 0
    assert overlap(LEFT, (0.0, 0.0, 0.5, 0.25)) == pytest.approx(0.5)


def test_a_box_is_met_once() -> None:
    rows = matched([(3.0, LEFT), (2.0, LEFT), (1.0, RIGHT)], [LEFT, RIGHT])
    np.testing.assert_array_equal(rows[:3], [[3, 1], [2, 0], [1, 1]])
    assert np.isnan(rows[3:]).all()


def test_average_precision_of_known_answers() -> None:
    right = np.stack([matched([(2.0, LEFT)], [LEFT]), matched([(1.0, RIGHT)], [RIGHT])])
    assert average_precision(np.array([1, 1]), right) == 1
    half = np.stack([matched([(2.0, RIGHT)], []), matched([(1.0, RIGHT)], [RIGHT])])
    assert average_precision(np.array([0, 1]), half) == 0.5
    assert average_precision(np.array([2, 2]), right) == 0.5, "boxes that no patch meets count"
    assert np.isnan(average_precision(np.array([0, 0]), half))
