"""Mean projections accumulated slice by slice."""

from __future__ import annotations

import numpy as np
import pytest

from plugin.analysis.projection import Projections

VOLUME = np.random.default_rng(1).integers(-2000, 2000, size=(7, 5, 6)).astype(np.int16)


def projections_of(volume: np.ndarray) -> Projections:
    projections = Projections(low=-1024, high=600)
    for k, slice_ in enumerate(volume):
        projections.add(k, slice_)
    return projections


def test_projections_are_the_means_of_the_clipped_volume() -> None:
    means = projections_of(VOLUME)
    clipped = np.clip(VOLUME, -1024, 600).astype(np.float64)
    np.testing.assert_allclose(means.axial, clipped.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(means.sagittal, clipped.mean(axis=2)[::-1], atol=1e-3)
    np.testing.assert_allclose(means.coronal, clipped.mean(axis=1)[::-1], atol=1e-3)
    assert means.axial.dtype == means.sagittal.dtype == means.coronal.dtype == np.float32


def test_slices_may_come_in_any_order() -> None:
    ordered, shuffled = Projections(low=-1024, high=600), Projections(low=-1024, high=600)
    for k in range(7):
        ordered.add(k, VOLUME[k])
    for k in (3, 0, 6, 1, 5, 2, 4):
        shuffled.add(k, VOLUME[k])
    np.testing.assert_allclose(ordered.axial, shuffled.axial, atol=1e-3)
    np.testing.assert_array_equal(ordered.sagittal, shuffled.sagittal)
    np.testing.assert_array_equal(ordered.coronal, shuffled.coronal)


def test_slices_count_for_what_they_cover() -> None:
    thickness = np.array([1.0, 3.0])
    projections = Projections(low=-1000, high=1000, thickness=thickness)
    for k, value in enumerate((0, 400)):
        projections.add(k, np.full((4, 4), value, dtype=np.int16))
    np.testing.assert_allclose(projections.axial, 300)


def test_uneven_slices_are_resampled_to_even_rows() -> None:
    positions = np.array([0.0, 5.0, 10.4, 15.0, 20.0])
    gaps = np.diff(positions)
    padded = np.concatenate([gaps[:1], gaps, gaps[-1:]])
    projections = Projections(low=-1000, high=1000, thickness=(padded[:-1] + padded[1:]) / 2)
    for k, position in enumerate(positions):
        projections.add(k, np.full((2, 2), round(10 * position), dtype=np.int16))
    rows = projections.sagittal[:, 0]
    np.testing.assert_allclose(np.diff(rows), np.diff(rows).mean(), atol=3)
    assert rows[0] > rows[-1]  # from the head to the feet


def test_even_slices_are_not_touched_by_the_resampling() -> None:
    weighted = Projections(low=-1024, high=600, thickness=np.full(7, 2.5))
    for k in range(7):
        weighted.add(k, VOLUME[k])
    means = projections_of(VOLUME)
    np.testing.assert_allclose(weighted.axial, means.axial, atol=1e-3)
    np.testing.assert_allclose(weighted.sagittal, means.sagittal, atol=1e-2)
    np.testing.assert_allclose(weighted.coronal, means.coronal, atol=1e-2)


def test_without_slices_there_is_no_projection() -> None:
    empty = Projections(low=-1024, high=600)
    with pytest.raises(ValueError, match="at least one slice"):
        _ = empty.axial
    with pytest.raises(ValueError, match="at least one slice"):
        _ = empty.sagittal
    with pytest.raises(ValueError, match="at least one slice"):
        _ = empty.coronal


def test_a_single_slice_is_its_own_projection() -> None:
    single = Projections(low=-1024, high=600, thickness=np.array([np.nan]))
    single.add(0, VOLUME[0])
    assert single.sagittal.shape == (1, 5)
