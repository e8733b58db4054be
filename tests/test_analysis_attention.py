"""Evidence placed back onto the picture that the network was given."""

from __future__ import annotations

import numpy as np
import pytest

from plugin.analysis.attention import attention_map, seen
from plugin.analysis.preprocess import central_crop, resize, short_side_shape


@pytest.mark.parametrize(("rows", "columns"), [(300, 300), (420, 300), (300, 517), (1955, 1841)])
@pytest.mark.parametrize("short_side", [None, 256])
@pytest.mark.parametrize("place", [(0.5, 0.5), (0.35, 0.62), (0.6, 0.4)])
def test_a_mark_comes_back_to_its_place(
    rows: int, columns: int, short_side: int | None, place: tuple[float, float]
) -> None:
    row, column = round(place[0] * rows), round(place[1] * columns)
    picture = np.zeros((rows, columns), dtype=np.float32)
    radius = min(rows, columns) // 20
    picture[row - radius : row + radius, column - radius : column + radius] = 1
    if short_side is None:
        given = resize(picture, 224, 224)
    else:
        given = central_crop(resize(picture, *short_side_shape(rows, columns, short_side)), 224, 224)
    evidence = given.reshape(28, 8, 28, 8).mean(axis=(1, 3))
    placed = attention_map(
        evidence, rows=rows, columns=columns, input_shape=(224, 224), short_side=short_side
    )
    assert placed.shape == (rows, columns)
    weights = np.nan_to_num(placed)
    centre = [
        (weights.sum(axis=1 - axis) * np.arange(n)).sum() / weights.sum()
        for axis, n in enumerate((rows, columns))
    ]
    assert centre == pytest.approx([row, column], abs=0.02 * max(rows, columns))
    assert np.nanmax(placed) == pytest.approx(1)
    assert np.nanmin(placed) >= 0


def test_what_the_network_did_not_see_is_not_a_number() -> None:
    evidence = np.ones((7, 7), dtype=np.float32)
    placed = attention_map(evidence, rows=200, columns=400, input_shape=(200, 200), short_side=200)
    assert np.isnan(placed[:, :100]).all()
    assert np.isnan(placed[:, 300:]).all()
    assert (placed[:, 100:300] == 1).all()
    assert not np.isnan(
        attention_map(evidence, rows=200, columns=400, input_shape=(200, 200), short_side=None)
    ).any()


def test_the_seen_part_of_a_cropped_picture() -> None:
    assert seen(rows=512, columns=1024, input_shape=(456, 456), short_side=512) == (28, 284, 484, 740)
    assert seen(rows=90, columns=80, input_shape=(5, 5), short_side=None) == (0, 0, 90, 80)


def test_only_evidence_for_the_class_is_shown() -> None:
    evidence = np.array([[-3, 2], [0, 1]], dtype=np.float32)
    placed = attention_map(evidence, rows=2, columns=2, input_shape=(64, 64), short_side=None)
    np.testing.assert_allclose(placed, [[0, 1], [0, 0.5]])
    nothing = attention_map(-abs(evidence), rows=9, columns=9, input_shape=(64, 64), short_side=None)
    assert (nothing == 0).all()
    broken = attention_map(
        np.full((2, 2), np.nan, np.float32), rows=4, columns=4, input_shape=(8, 8), short_side=None
    )
    assert (broken == 0).all()
