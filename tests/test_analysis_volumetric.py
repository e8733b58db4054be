"""The sliding window: what overlaps is weighted, what is small lies in the middle, memory stays bounded."""

from __future__ import annotations

import numpy as np
import pytest

from plugin.analysis.volumetric import gaussian, slide, starts


def _mark(inputs):
    """A network that takes each voxel's value for its probability, and the reverse for a second class."""
    return np.concatenate([inputs, 1 - inputs], axis=1)


@pytest.mark.parametrize("shape", [(37, 50, 41), (9, 50, 12), (16, 24, 24), (3, 2, 1)])
@pytest.mark.parametrize("batch", [1, 3])
def test_every_voxel_gets_its_own_answer(shape, batch):
    values = np.random.default_rng(1).random((1, *shape), dtype=np.float32)
    options = {"patch": (16, 24, 24), "batch": batch, "overlap": 0.5, "outside": (0.0,)}
    high, low = slide(values, predict=_mark, classes=((0, 0.7), (1, 0.6)), **options)
    unsure = (np.abs(values[0] - 0.7) < 1e-5) | (np.abs(values[0] - 0.4) < 1e-5)
    assert np.array_equal(high[~unsure], (values[0] >= 0.7)[~unsure])
    assert np.array_equal(low[~unsure], (1 - values[0] >= 0.6)[~unsure])


def test_where_patches_overlap_the_middle_counts_for_more():
    """Of two patches the first says 1, the second 0: the border lies in the middle of their overlap."""
    answers = iter([1.0, 0.0])

    def predict(inputs):
        return np.full_like(inputs, next(answers))

    options = {"patch": (16, 8, 8), "batch": 1, "overlap": 0.5, "outside": (0.0,)}
    (mask,) = slide(np.zeros((1, 24, 8, 8), np.float32), predict=predict, classes=((0, 0.5),), **options)
    middle = mask[:, 4, 4]
    assert middle[:12].all()
    assert not middle[12:].any()


def test_progress_is_told_and_can_stop_between_patches():
    told, asked = [], []

    def progress(share):
        told.append(share)
        if share >= 0.5:
            raise InterruptedError

    def predict(inputs):
        asked.append(1)
        return inputs

    options = {"patch": (8, 8, 8), "batch": 1, "overlap": 0.0, "outside": (0.0,)}
    with pytest.raises(InterruptedError):
        slide(
            np.zeros((1, 8, 16, 16), np.float32),
            predict=predict,
            classes=((0, 0.5),),
            progress=progress,
            **options,
        )
    assert told == [0.0, 0.25, 0.5]
    assert len(asked) == 2


def test_starts_cover_all_and_overlap():
    assert starts(10, 16, 0.5) == [0]
    for length in (17, 40, 63):
        places = starts(length, 16, 0.5)
        assert places[0] == 0
        assert places[-1] == length - 16
        assert max(np.diff(places)) <= 8


def test_the_weights_are_even_and_never_nothing():
    weights = gaussian((6, 8, 10))
    assert np.array_equal(weights, weights[::-1, ::-1, ::-1])
    assert weights.min() > 0
