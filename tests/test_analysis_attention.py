"""Evidence on one scale for every picture, placed back onto the picture, without what is outside the body."""

from __future__ import annotations

import numpy as np
import pytest

from plugin.analysis.attention import FULL, attention_map, evidence_shades, located_shades, log_odds, seen
from plugin.analysis.preprocess import central_crop, resize, short_side_shape


def whole(rows: int, columns: int) -> np.ndarray:
    return np.ones((rows, columns), dtype=bool)


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
    shades = given.reshape(28, 8, 28, 8).mean(axis=(1, 3))
    placed = attention_map(
        shades, body=whole(rows, columns), input_shape=(224, 224), short_side=short_side
    ).shades
    assert placed.shape == (rows, columns)
    weights = np.nan_to_num(placed)
    centre = [
        (weights.sum(axis=1 - axis) * np.arange(n)).sum() / weights.sum()
        for axis, n in enumerate((rows, columns))
    ]
    assert centre == pytest.approx([row, column], abs=0.02 * max(rows, columns))
    assert 0 <= np.nanmin(placed) <= np.nanmax(placed) <= 1


def test_what_the_network_did_not_see_is_not_a_number() -> None:
    shades = np.ones((7, 7), dtype=np.float32)
    placed = attention_map(shades, body=whole(200, 400), input_shape=(200, 200), short_side=200).shades
    assert np.isnan(placed[:, :100]).all()
    assert np.isnan(placed[:, 300:]).all()
    assert (placed[:, 100:300] == 1).all()
    stretched = attention_map(shades, body=whole(200, 400), input_shape=(200, 200), short_side=None)
    assert not np.isnan(stretched.shades).any()


def test_the_seen_part_of_a_cropped_picture() -> None:
    assert seen(rows=512, columns=1024, input_shape=(456, 456), short_side=512) == (28, 284, 484, 740)
    assert seen(rows=90, columns=80, input_shape=(5, 5), short_side=None) == (0, 0, 90, 80)


def test_a_clear_picture_does_not_glow_like_a_sick_one() -> None:
    """The same evidence from place to place: what the picture as a whole says decides how much it shows."""
    evidence = np.random.default_rng(1).normal(0, 4, (8, 8)).astype(np.float32)
    margins = {
        probability: log_odds(probability) - log_odds(0.34) for probability in (0.01, 0.1, 0.34, 0.9, 0.999)
    }
    mean = [
        float(evidence_shades(evidence, margin=margin, temperature=1.0).mean()) for margin in margins.values()
    ]
    assert mean == sorted(mean)
    assert mean[0] < 0.03
    assert mean[-1] > 0.8
    assert evidence_shades(evidence, margin=margins[0.01], temperature=1.0).max() < 0.5


def test_the_scale_is_the_same_for_all_and_begins_at_the_operating_point() -> None:
    """A thousand times the odds of the operating point is full colour, the operating point none."""
    flat = np.full((4, 4), 3.0, np.float32)
    assert (evidence_shades(flat, margin=0.0, temperature=1.0) == 0).all()
    assert evidence_shades(flat, margin=FULL / 2, temperature=1.0) == pytest.approx(0.5)
    assert evidence_shades(flat, margin=FULL, temperature=1.0) == pytest.approx(1.0)
    hill = np.array([[-2.0, 2.0]], np.float32)
    np.testing.assert_allclose(evidence_shades(hill, margin=0.0, temperature=2.0), [[0, 0.5 / FULL]])
    assert (evidence_shades(np.full((2, 2), np.nan), margin=-1.0, temperature=1.0) == 0).all()


def test_nothing_is_shown_outside_the_body_and_how_much_that_was_is_told() -> None:
    body = np.zeros((100, 100), dtype=bool)
    body[:, :75] = True
    placed = attention_map(np.ones((10, 10), np.float32), body=body, input_shape=(64, 64), short_side=None)
    assert (placed.shades[:, 75:] == 0).all()
    assert (placed.shades[:, :75] == 1).all()
    assert placed.outside == pytest.approx(0.25)
    nothing = attention_map(np.zeros((10, 10), np.float32), body=body, input_shape=(64, 64), short_side=None)
    assert nothing.outside == 0


def test_a_map_that_was_taught_where_is_shown_as_it_is() -> None:
    places = np.array([[-3.0, 0.0, FULL / 2, 2 * FULL]], np.float32)
    np.testing.assert_allclose(located_shades(places, margin=5.0), [[-3 / FULL, 0, 0.5, 1]])
    np.testing.assert_allclose(located_shades(places, margin=0.0), [[-3 / FULL, 0, 0.5, 1]])
    assert located_shades(places, margin=-FULL / 2)[0, 2] == 0, "a place glows on a film that is not called"


def test_the_border_of_a_place_lies_where_its_evidence_ends() -> None:
    """Two places, one as far below the level as the other is above it: the border is halfway between."""
    shades = located_shades(np.array([[-2.0, 2.0]], np.float32), margin=1.0)
    placed = attention_map(shades, body=whole(10, 40), input_shape=(64, 64), short_side=None).shades
    assert placed.min() == 0
    np.testing.assert_array_equal(placed > 0, np.arange(40)[None] >= np.full((10, 1), 20))


def test_what_was_cut_away_before_the_network_holds_nothing() -> None:
    """The network was given a box of the picture: its shades fill the box, and there is none beyond it."""
    lungs = np.zeros((60, 80), dtype=bool)
    lungs[10:40, 20:70] = True
    lungs[15, 30] = False
    shades = np.full((8, 8), 0.5, dtype=np.float32)
    placed = attention_map(
        shades, body=lungs, input_shape=(128, 128), short_side=None, box=(10, 20, 40, 70)
    ).shades
    np.testing.assert_allclose(placed, np.where(lungs, 0.5, 0), atol=1e-6)
