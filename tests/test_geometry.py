"""Order, spacing and orientation of slices from patient coordinates."""

from __future__ import annotations

import numpy as np
import pytest
from highdicom.spatial import get_series_volume_positions
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, generate_uid

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


def stacked(cosines: object, step: object, count: int = 60) -> geometry.Stack:
    return geometry.stack([header(k * np.asarray(step, dtype=float), cosines) for k in range(count)])


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("degrees", [0, 1, 5])
def test_an_oblique_regular_stack_is_not_shifted(axis: int, degrees: float) -> None:
    turn = np.deg2rad(degrees)
    row, column = np.array([1.0, 0, 0]), np.array([0, 1.0, 0])
    leaning = np.array([0, 0, np.sin(turn)])
    row, column = (
        (row * np.cos(turn) + leaning, column) if axis == 0 else (row, column * np.cos(turn) + leaning)
    )
    stack = stacked((*row, *column), 5 * np.cross(row, column))
    assert np.abs(stack.shifts).max() < 1e-9
    assert stack.tilt == pytest.approx(0, abs=1e-9)
    assert stack.spacing == pytest.approx(5)
    # highdicom's own reading of the same stack, as an oracle
    spacing, places = get_series_volume_positions(
        volume_headers(stack, (*row, *column), 5 * np.cross(row, column))
    )
    assert spacing == pytest.approx(stack.spacing)
    assert places is not None
    assert tuple(np.argsort(places)) == stack.order or tuple(np.argsort(places))[::-1] == stack.order


def test_a_tilted_gantry_shears_the_stack() -> None:
    tilt = np.deg2rad(8)
    cosines = (1, 0, 0, 0, np.cos(tilt), np.sin(tilt))
    stack = stacked(cosines, (0, 0, 5))
    assert stack.tilt == pytest.approx(8)
    assert np.ptp(stack.shifts, axis=0) == pytest.approx([0, 59 * 5 * np.sin(tilt)])
    np.testing.assert_allclose(stack.lean - stack.lean[0], stack.shifts, atol=1e-9)
    assert get_series_volume_positions(volume_headers(stack, cosines, (0, 0, 5))) == (None, None)


def volume_headers(stack: geometry.Stack, cosines: object, step: object) -> list[Dataset]:
    series = [header(k * np.asarray(step, dtype=float), cosines) for k in range(len(stack.order))]
    for dataset in series:
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, generate_uid()
        dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = "1.2.3", "1.2.4"
        dataset.Rows = dataset.Columns = 4
    return series


def test_directions_that_are_not_quite_of_unit_length_do_not_stretch_the_stack() -> None:
    stack = stacked((1.004, 0, 0, 0, 1.004, 0), (0, 0, 5))
    assert stack.spacing == pytest.approx(5, abs=1e-9)


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
        {"position": (0, 0, 1e6)},
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
