"""The pictures of a CT: which slices, what is up and what is left, where the gaps are."""

from __future__ import annotations

import numpy as np

from plugin.results import pictures


def test_the_slices_with_most_findings_are_shown() -> None:
    lungs = np.ones((60, 8, 8), np.uint8)
    findings = np.zeros(lungs.shape, bool)
    findings[10, :4] = findings[40, :6] = findings[41, :5] = findings[25, :1] = True
    assert pictures.telling_slices(lungs, findings, 3) == [40, 25, 10]
    assert pictures.telling_slices(lungs, findings & False, 6) == [44, 30, 15]


def test_an_overview_has_the_patients_right_on_the_left_and_the_head_up() -> None:
    lungs = np.zeros((20, 10, 30), np.uint8)
    lungs[:, :, :10] = 1
    findings = np.zeros(lungs.shape, bool)
    findings[18:, :, :5] = True
    picture = pictures.coronal_overview(lungs, findings, spacing=(1.0, 1.0, 1.0), height=20)
    coloured = np.argwhere(np.ptp(picture.astype(int), axis=2) > 40)
    assert coloured[:, 0].max() < 5
    assert coloured[:, 1].max() < 8


def test_a_gap_in_the_lungs_is_hatched_and_told_from_small_holes() -> None:
    lungs = np.ones((40, 10, 30), np.uint8)
    lungs[[0, -1]] = lungs[:, :, [0, -1]] = 0
    lungs[20:23, :, 5:15] = 0
    lungs[5, :, 5] = 0
    outline, holes = pictures.overview_outline(lungs, (1.0, 1.0, 1.0))
    expected = np.zeros(holes.shape, bool)
    expected[20:23, 5:15] = True
    np.testing.assert_array_equal(holes, expected)
    assert outline[5, 5]
    picture = pictures.coronal_overview(lungs, lungs > 9, spacing=(1.0, 1.0, 1.0), height=400)
    gap = picture[400 - 230 + 5 : 400 - 200 - 5, 55:145, 0]
    assert set(np.unique(gap)) == {60, 150}
    assert 0.3 < (gap == 150).mean() < 0.7
