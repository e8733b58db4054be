"""Projections over lung voxels alone, accumulated slice by slice."""

from __future__ import annotations

import numpy as np
import pytest

from plugin.analysis.lung_projection import LungProjections, LungScale, LungSums, lung_level

SCALE = LungScale(low=-1024.0, high=200.0, level=-900.0, dense=-600.0, depth=300.0)
LEVEL = -860.0
"""Of these lungs: what is found in them is shifted down by 40 HU."""
SPACING = (2.0, 1.5, 0.5)
DRAW = np.random.default_rng(3)
HU = DRAW.integers(-1100, 400, size=(6, 8, 10)).astype(np.int16)
LUNGS = np.zeros(HU.shape, dtype=np.bool_)
LUNGS[1:5, 2:7, 3:9] = DRAW.random((4, 5, 6)) < 0.7


def projections_of(hu: np.ndarray, lungs: np.ndarray, thickness: np.ndarray | None = None) -> LungProjections:
    projections = LungProjections(SCALE, level=LEVEL, spacing=SPACING, thickness=thickness)
    for slice_, mask in zip(hu, lungs, strict=True):
        projections.add(slice_, mask)
    return projections


@pytest.mark.parametrize(("axis", "step"), [(0, 2.0), (2, 0.5)])
def test_the_three_channels_are_means_over_lung_voxels(axis: int, step: float) -> None:
    projections = projections_of(HU, LUNGS)
    pictures = (projections.axial if axis == 0 else projections.sagittal).pictures(SCALE)
    assert pictures is not None
    count = LUNGS.sum(axis=axis)
    safe = np.maximum(count, 1)
    mean = (np.clip(HU - 40, -1024, 200).astype(float) * LUNGS).sum(axis=axis) / safe
    wanted = [
        np.where(count > 0, (mean + 1024) / 1224, 0),
        ((HU >= -560) & LUNGS).sum(axis=axis) / safe,
        count * step / 300,
    ]
    top, left, bottom, right = pictures.box
    for channel, expected in zip(pictures.channels, wanted, strict=True):
        turned = expected if axis == 0 else expected[::-1]
        np.testing.assert_allclose(channel, turned[top:bottom, left:right], atol=1e-5)
        assert channel.dtype == np.float32
    met = LUNGS.any(axis=axis)
    np.testing.assert_array_equal(pictures.lungs, met if axis == 0 else met[::-1])


def test_what_lies_outside_the_lungs_changes_nothing() -> None:
    other = np.where(LUNGS, HU, 1000).astype(np.int16)
    for side in ("axial", "sagittal"):
        first, second = (getattr(projections_of(hu, LUNGS), side).pictures(SCALE) for hu in (HU, other))
        for one, another in zip(first.channels, second.channels, strict=True):
            np.testing.assert_array_equal(one, another)


def test_the_level_is_the_tenth_percentile_of_the_lungs() -> None:
    level = lung_level(HU, LUNGS)
    assert (HU[LUNGS].clip(-1024) <= level).mean() >= 0.1
    assert (HU[LUNGS].clip(-1024) < level).mean() < 0.1
    assert lung_level(HU, np.zeros_like(LUNGS)) == -1024


def test_deeper_breath_or_another_scanner_changes_nothing() -> None:
    """All of the lungs 70 HU denser: their level tells, and the pictures are the same."""
    hu = np.clip(HU, -900, 50).astype(np.int16)
    for side in ("axial", "sagittal"):
        found = []
        for shift in (0, 70):
            sums = LungProjections(SCALE, level=lung_level(hu + shift, LUNGS), spacing=SPACING)
            for slice_, mask in zip(hu, LUNGS, strict=True):
                sums.add((slice_ + shift).astype(np.int16), mask)
            found.append(getattr(sums, side).pictures(SCALE))
        for one, another in zip(found[0].channels, found[1].channels, strict=True):
            np.testing.assert_allclose(one, another, atol=1e-6)


def test_slices_count_for_what_they_cover() -> None:
    hu = np.stack([np.full((4, 4), value, dtype=np.int16) for value in (-800, -400)])
    lungs = np.ones(hu.shape, dtype=np.bool_)
    axial = projections_of(hu, lungs, np.array([1.0, 3.0])).axial
    np.testing.assert_allclose(axial.depth, 4)
    np.testing.assert_allclose(axial.hu / axial.depth, -540)
    np.testing.assert_allclose(axial.dense, 3)


def test_evenly_thick_slices_are_what_the_spacing_says() -> None:
    plain, weighed = projections_of(HU, LUNGS), projections_of(HU, LUNGS, np.full(len(HU), SPACING[0]))
    for side in ("axial", "sagittal"):
        np.testing.assert_allclose(getattr(plain, side).hu, getattr(weighed, side).hu, rtol=1e-5, atol=1e-3)


def test_without_lungs_there_are_no_pictures() -> None:
    projections = projections_of(HU, np.zeros_like(LUNGS))
    assert projections.axial.pictures(SCALE) is None
    assert projections.sagittal.pictures(SCALE) is None


def test_without_slices_there_is_no_projection() -> None:
    empty = LungProjections(SCALE, level=LEVEL, spacing=SPACING)
    with pytest.raises(ValueError, match="at least one slice"):
        _ = empty.axial
    with pytest.raises(ValueError, match="at least one slice"):
        _ = empty.sagittal


def test_a_lung_deeper_than_the_scale_is_one() -> None:
    sums = LungSums(depth=np.full((2, 2), 900.0), hu=np.full((2, 2), -7.2e5), dense=np.zeros((2, 2)))
    pictures = sums.pictures(SCALE)
    assert pictures is not None
    np.testing.assert_array_equal(pictures.channels[2], 1)
