"""The patch that a classifier of the segmented volume is given: lesions where and as large as they are."""

from __future__ import annotations

import numpy as np
import pytest

from plugin.analysis.segmented_volume import Frame, lesion_channels, masked

LOW, HIGH = -1024.0, 350.0
SHAPE, SPACING = (24, 32, 40), (5.0, 4.0, 4.0)
UNEVEN = np.cumsum(np.r_[0.0, np.tile([2.0, 3.0, 2.5], 12)])
EVEN = np.arange(37) * 2.5


class Chest:
    """Two lungs and a ball of lesion in one of them, on slices at these positions; pixels of 2 mm."""

    def __init__(self, slices: np.ndarray) -> None:
        self.source = (slices, np.arange(60) * 2.0, np.arange(80) * 2.0)
        z, y, x = np.meshgrid(*self.source, indexing="ij")
        lungs = np.zeros(z.shape, dtype=np.uint8)
        for label, middle in ((1, 45.0), (2, 115.0)):
            lungs[((z - 45) / 40) ** 2 + ((y - 60) / 45) ** 2 + ((x - middle) / 28) ** 2 < 1] = label
        self.centre = (48.0, 66.0, 110.0)
        away = (z - self.centre[0]) ** 2 + (y - self.centre[1]) ** 2 + (x - self.centre[2]) ** 2
        self.lungs, self.lesion = lungs, away < 14**2
        self.hu = np.where(lungs > 0, -850, 40).astype(np.int16)
        self.hu[self.lesion] = -100

    def frame(self, shape: tuple[int, int, int] = SHAPE, margin: float = 6.0) -> Frame:
        found = Frame.around(self.lungs, source=self.source, shape=shape, spacing=SPACING, margin=margin)
        assert found is not None
        return found


@pytest.mark.parametrize("slices", [EVEN, UNEVEN], ids=["even", "uneven"])
def test_a_lesion_keeps_its_place_and_its_volume(slices: np.ndarray) -> None:
    chest = Chest(slices)
    frame = chest.frame()
    image, mask = lesion_channels(frame, chest.hu, chest.lesion, low=LOW, high=HIGH, context=0.0)
    assert frame.steps == SPACING
    ball = 4 / 3 * np.pi * 14**3
    assert mask.sum() * np.prod(SPACING) == pytest.approx(ball, rel=0.05)
    places = [
        points[0] - before * step + np.arange(side) * step
        for points, before, step, side in zip(
            frame.lattice.target, frame.before, frame.steps, SHAPE, strict=True
        )
    ]
    for axis, along in enumerate(places):
        profile = mask.sum(axis=tuple({0, 1, 2} - {axis}))
        assert profile @ along / profile.sum() == pytest.approx(chest.centre[axis], abs=0.6)
    assert image[mask > 0.99].mean() == pytest.approx((-100 - LOW) / (HIGH - LOW), abs=0.02)


def test_the_lungs_lie_in_the_middle_and_nothing_around_them() -> None:
    chest = Chest(EVEN)
    frame = chest.frame()
    inside = frame.resample(np.ones(chest.hu.shape, dtype=np.bool_)) > 0.5
    for axis, side in enumerate(SHAPE):
        held = np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis})))
        assert abs(held[0] - (side - 1 - held[-1])) <= 1
        assert 0 < held.size < side


def test_lungs_that_do_not_fit_are_brought_in_as_a_whole() -> None:
    chest = Chest(EVEN)
    small = (12, 32, 40)
    frame = chest.frame(small)
    assert frame.lattice.shape[0] == small[0]
    assert frame.steps[0] > SPACING[0]
    assert frame.steps[1:] == SPACING[1:]
    mask = lesion_channels(frame, chest.hu, chest.lesion, low=LOW, high=HIGH, context=0.0)[1]
    assert mask.sum() * np.prod(frame.steps) == pytest.approx(4 / 3 * np.pi * 14**3, rel=0.05)


def test_the_image_reaches_as_far_around_a_lesion_as_is_said() -> None:
    share = np.zeros((9, 15, 15), dtype=np.float32)
    share[4, 7, 7] = 0.3
    image, mask = masked(np.full(share.shape, 0.5, np.float32), share, steps=(5.0, 3.0, 2.0), context=6.0)
    np.testing.assert_array_equal(mask, share)
    k, j, i = np.indices(share.shape)
    distance = np.sqrt(((k - 4) * 5.0) ** 2 + ((j - 7) * 3.0) ** 2 + ((i - 7) * 2.0) ** 2)
    np.testing.assert_array_equal(image > 0, distance <= 6.0)


def test_without_lesions_it_is_empty_and_without_lungs_there_is_none() -> None:
    chest = Chest(EVEN)
    nothing = np.zeros_like(chest.lesion)
    assert not lesion_channels(chest.frame(), chest.hu, nothing, low=LOW, high=HIGH, context=6.0).any()
    none = np.zeros_like(chest.lungs)
    assert Frame.around(none, source=chest.source, shape=SHAPE, spacing=SPACING, margin=6.0) is None


def test_a_single_slice_has_a_patch() -> None:
    chest = Chest(np.array([45.0]))
    frame = chest.frame()
    mask = lesion_channels(frame, chest.hu, chest.lesion, low=LOW, high=HIGH, context=6.0)[1]
    assert np.flatnonzero(mask.any(axis=(1, 2))).tolist() == [frame.before[0]]


def test_what_is_seen_along_an_axis_comes_back_to_its_place() -> None:
    chest = Chest(EVEN)
    frame = chest.frame()
    for axis in range(3):
        part, (top, left, bottom, right) = frame.plane(axis)
        lungs = frame.resample(chest.lungs > 0).max(axis=axis)[part] > 0.5
        seen = (chest.lungs > 0).any(axis=axis)
        assert seen[top:bottom, left:right].sum() == seen.sum(), "the box holds all of the lungs"
        assert lungs.mean() == pytest.approx(seen[top:bottom, left:right].mean(), abs=0.05)
