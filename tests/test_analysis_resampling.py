"""Resampling by millimetres: a ball stays where it is, on whatever grid."""

from __future__ import annotations

import numpy as np
import pytest

from plugin.analysis.resampling import Lattice, grown, positions_of

CENTRE = np.array([61.3, 40.7, 52.1])
RADIUS = 21.0


def _sources(slices, pixel):
    count = int(110 / pixel)
    return positions_of((len(slices), count, count), slices=slices, pixel_spacing=(pixel, pixel))


def _ball(source):
    grid = np.meshgrid(*source, indexing="ij")
    return sum((axis - middle) ** 2 for axis, middle in zip(grid, CENTRE, strict=True)) < RADIUS**2


def _whole(source):
    return tuple(slice(0, len(positions)) for positions in source)


UNEVEN = np.cumsum(np.r_[0.0, np.tile([2.0, 3.0, 2.5], 16)])


@pytest.mark.parametrize("spacing", [(2.5, 1.0, 1.0), (2.5, 2.0, 2.0), (1.0, 0.5, 0.5)])
@pytest.mark.parametrize(
    ("slices", "pixel"),
    [(np.arange(0, 120, 0.8), 0.7), (np.arange(0, 120, 5.0), 0.9), (UNEVEN, 1.4)],
    ids=["thin", "thick", "uneven"],
)
def test_a_ball_that_goes_to_a_grid_and_back_stays_where_it_was(slices, pixel, spacing):
    source = _sources(slices, pixel)
    ball = _ball(source)
    lattice = Lattice.over(_whole(source), source=source, spacing=spacing)
    values = lattice.resample(np.where(ball, 100, -900).astype(np.int16))
    assert values.shape == lattice.shape
    back = lattice.restore(values > -400)

    thickness = np.gradient(slices)
    for axis, coarse in enumerate(max(s, np.diff(p).max()) for s, p in zip(spacing, source, strict=True)):
        weights = np.broadcast_to(thickness[:, None, None], ball.shape)
        means = [
            np.average(np.broadcast_to(_column(source, axis), ball.shape)[mask], weights=weights[mask])
            for mask in (ball, back)
        ]
        assert abs(means[1] - means[0]) < 0.06 * coarse, (axis, means)
    overlap = 2 * (ball & back).sum() / (ball.sum() + back.sum())
    assert overlap > 0.93


def _column(source, axis):
    return source[axis].reshape([-1 if a == axis else 1 for a in range(3)])


def test_values_are_kept_on_the_same_grid_and_a_ramp_stays_a_ramp():
    source = _sources(UNEVEN, 1.0)
    ramp = np.rint(10 * source[0][:, None, None] + source[1][:, None] - 2 * source[2]).astype(np.int16)
    same = Lattice.over(_whole(source), source=source, spacing=(2.5, 1.0, 1.0))
    expected = 10 * same.target[0][:, None, None] + same.target[1][:, None] - 2 * same.target[2]
    inner = np.s_[1:-1]
    assert np.abs(same.resample(ramp) - expected)[inner].max() < 1.5
    even = _sources(np.arange(0, 40, 2.0), 1.0)
    lattice = Lattice.over(_whole(even), source=even, spacing=(2.0, 1.0, 1.0))
    noise = np.random.default_rng(0).integers(-1000, 1000, lattice.shape).astype(np.int16)
    assert np.abs(lattice.resample(noise) - noise).max() < 0.01


def test_a_box_grows_by_millimetres_and_not_beyond_the_volume():
    source = _sources(np.arange(0, 120, 5.0), 1.0)
    box = (slice(10, 12), slice(0, 50), slice(20, 30))
    assert grown(box, source=source, margin=10) == (slice(8, 14), slice(0, 60), slice(10, 40))


def test_outside_the_box_there_are_no_labels():
    source = _sources(np.arange(0, 120, 5.0), 1.0)
    box = (slice(3, 9), slice(10, 20), slice(30, 60))
    lattice = Lattice.over(box, source=source, spacing=(2.5, 2.0, 2.0))
    labels = lattice.restore(np.ones(lattice.shape, bool))
    assert labels[box].all()
    assert labels.sum() == 6 * 10 * 30
