"""Order, spacing and orientation of slices from patient coordinates."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset

from plugin.dicom import geometry


def header(position: object, cosines: object = (1, 0, 0, 0, 1, 0), spacing: object = (0.7, 0.8)) -> Dataset:
    dataset = Dataset()
    for keyword, value in (
        ("ImagePositionPatient", position),
        ("ImageOrientationPatient", cosines),
        ("PixelSpacing", spacing),
    ):
        if value is not None:
            setattr(dataset, keyword, list(value))  # type: ignore[call-overload]
    return dataset


def test_slices_are_sorted_to_the_head() -> None:
    stack = geometry.stack([header((0, 0, z)) for z in (5, -5, 10, 0)])
    assert stack.order == (1, 3, 0, 2)
    np.testing.assert_allclose(stack.positions, [-5, 0, 5, 10])
    assert stack.spacing == 5
    assert stack.extent == pytest.approx(20)


def test_a_normal_to_the_feet_still_sorts_to_the_head() -> None:
    stack = geometry.stack([header((0, 0, z), (-1, 0, 0, 0, 1, 0)) for z in (0, 5)])
    assert stack.order == (0, 1)
    assert (stack.transposed, stack.flip_rows, stack.flip_columns) == (False, False, True)


def test_a_tilted_gantry_has_the_distance_along_the_normal() -> None:
    tilt = np.deg2rad(7)
    cosines = (1, 0, 0, 0, np.cos(tilt), np.sin(tilt))
    stack = geometry.stack([header((0, 0, z), cosines) for z in (0, 5, 10)])
    assert stack.spacing == pytest.approx(5 * np.cos(tilt))


def test_transposed_frames_swap_their_pixel_spacing() -> None:
    stack = geometry.stack([header((0, 0, 0), (0, 1, 0, 1, 0, 0), (0.7, 0.8))])
    assert stack.transposed
    assert stack.pixel_spacing == (0.8, 0.7)


def test_thickness_of_uneven_slices() -> None:
    stack = geometry.stack([header((0, 0, z)) for z in (0, 2, 6, 8)])
    np.testing.assert_allclose(stack.thickness, [2, 3, 3, 2])
    assert stack.extent == pytest.approx(10)


def test_a_single_slice_covers_nothing() -> None:
    stack = geometry.stack([header((0, 0, 3))])
    assert np.isnan(stack.spacing)
    assert stack.extent == 0


@pytest.mark.parametrize(
    "broken",
    [
        {"position": None},
        {"position": (0, 0)},
        {"cosines": None},
        {"cosines": (1, 0, 0, 1, 0, 0)},
        {"cosines": (0, 0, 0, 0, 0, 0)},
        {"cosines": (2, 0, 0, 0, 1, 0)},
        {"spacing": None},
        {"spacing": (0, 0.7)},
        {"spacing": (-0.7, 0.7)},
        {"spacing": (0.7,)},
    ],
)
def test_unusable_values_are_refused(broken: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="no usable"):
        geometry.stack([header(**({"position": (0, 0, 0)} | broken))])
    with pytest.raises(ValueError, match="at least one"):
        geometry.stack([])
