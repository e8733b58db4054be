"""The connected parts of a mask against scipy's own on the whole volume."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from plugin.analysis.lesions import lesions


def test_two_balls_and_a_bridge() -> None:
    mask = np.zeros((12, 30, 40), bool)
    mask[2:5, 5:10, 5:10] = True
    mask[3:9, 15:20, 20:30] = True
    found, count = lesions(mask, voxel=np.full(12, 0.5), most=5)
    assert count == 2
    assert [lesion.volume for lesion in found] == [150.0, 37.5]
    assert found[0].slice == 3
    assert (found[0].area == ndimage.binary_dilation(found[0].area) & mask[3]).all()
    assert found[0].area.sum() == 50
    mask[3, 8:17, 8:22] = True
    assert lesions(mask, voxel=np.ones(12), most=5)[1] == 1


def test_slices_of_different_thickness_weigh_differently() -> None:
    mask = np.zeros((4, 6, 6), bool)
    mask[0, :2, :2] = mask[3, 3:5, 3:6] = True
    found, _ = lesions(mask, voxel=np.array([10.0, 1, 1, 1]), most=1)
    assert (found[0].volume, found[0].slice) == (40.0, 0)


@pytest.mark.parametrize("share", [0.05, 0.25, 0.45])
def test_all_parts_of_noise_as_scipy_labels_them(share: float) -> None:
    mask = np.random.default_rng(5).random((9, 24, 26)) < share
    structure = np.zeros((3, 3, 3), bool)
    structure[1] = True
    structure[[0, 2], 1, 1] = True
    labels, count = ndimage.label(mask, structure=structure)
    found, total = lesions(mask, voxel=np.ones(9), most=10**6)
    assert total == count
    assert [lesion.volume for lesion in found] == sorted(np.bincount(labels.ravel())[1:], reverse=True)
    for lesion in found[:5]:
        (label,) = np.unique(labels[lesion.slice][lesion.area])
        assert (labels[lesion.slice] == label).sum() == lesion.area.sum()
        assert lesion.area.sum() == (labels == label).sum(axis=(1, 2)).max()


def test_an_empty_mask_has_none() -> None:
    assert lesions(np.zeros((3, 4, 5), bool), voxel=np.ones(3), most=3) == ([], 0)
