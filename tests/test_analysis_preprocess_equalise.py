"""Histogram equalisation: greys by rank, black borders left out."""

from __future__ import annotations

import numpy as np

from plugin.analysis.preprocess import equalise


def test_greys_become_their_ranks_whatever_the_scale() -> None:
    values = np.random.default_rng(0).normal(0, 1, (64, 64)).astype(np.float32)
    found = equalise(values)
    assert found.dtype == np.float32
    assert found.min() == 0.0
    assert found.max() == 1.0
    np.testing.assert_allclose(found, equalise(values * 700 + 1000), atol=0.002)
    assert abs(float(found.mean()) - 0.5) < 0.01


def test_black_border_does_not_change_the_picture() -> None:
    picture = np.random.default_rng(1).integers(1, 255, (50, 40)).astype(np.uint8)
    picture[0, 0] = 0
    framed = np.pad(picture, 30)
    np.testing.assert_allclose(equalise(framed)[30:-30, 30:-30], equalise(picture), atol=1e-6)
    assert not equalise(framed)[:30].any()


def test_picture_without_contrast_is_black() -> None:
    assert not equalise(np.full((8, 8), 7, dtype=np.uint8)).any()
