"""Left and right: apart, touching, grown together, alone; whatever the spacing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from plugin.analysis import lungs
from plugin.analysis.lungs import LEFT, RIGHT
from plugin.dicom import imaging
from tests.dicom_factory import MemorySource

Mask = npt.NDArray[np.bool_]
SPACING = (2.5, 1.2, 1.2)
SIZE = (300.0, 250.0, 340.0)
"""The box of every test volume in mm: along the body, front to back, right to left."""


def grid(spacing: tuple[float, float, float]) -> list[npt.NDArray[np.float64]]:
    """z, y and x in mm of the voxels, from the middle of the box."""
    axes = [np.arange(round(s / d)) * d - s / 2 for s, d in zip(SIZE, spacing, strict=True)]
    return list(np.meshgrid(*axes, indexing="ij", sparse=True))


def ellipsoid(
    x: float, radii: tuple[float, float, float], spacing: tuple[float, float, float] = SPACING, z: float = 0
) -> Mask:
    zz, yy, xx = grid(spacing)
    return ((zz - z) / radii[0]) ** 2 + (yy / radii[1]) ** 2 + ((xx - x) / radii[2]) ** 2 <= 1


def box(
    z: tuple[float, float],
    y: tuple[float, float],
    x: tuple[float, float],
    spacing: tuple[float, float, float] = SPACING,
) -> Mask:
    zz, yy, xx = grid(spacing)
    return ((zz >= z[0]) & (zz < z[1])) & ((yy >= y[0]) & (yy < y[1])) & ((xx >= x[0]) & (xx < x[1]))


RIGHT_LUNG, LEFT_LUNG = (110.0, 75.0, 55.0), (105.0, 75.0, 50.0)


def pair(spacing: tuple[float, float, float] = SPACING, apart: float = 130) -> tuple[Mask, Mask]:
    return (
        ellipsoid(-apart / 2, RIGHT_LUNG, spacing),
        ellipsoid(apart / 2, LEFT_LUNG, spacing),
    )


def dice(a: Mask, b: Mask) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.mark.parametrize("spacing", [SPACING, (10.0, 1.0, 1.0), (1.25, 2.0, 0.9), (5.0, 4.0, 4.0)])
def test_lungs_apart(spacing: tuple[float, float, float]) -> None:
    right, left = pair(spacing)
    labels = lungs.separate(right | left, spacing=spacing)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels == RIGHT, right)
    np.testing.assert_array_equal(labels == LEFT, left)
    thickness = np.full(len(right), spacing[0])
    volume = lungs.volume_ml(labels == RIGHT, thickness=thickness, pixel_area=spacing[1] * spacing[2])
    assert volume == pytest.approx(4 / 3 * np.pi * np.prod(RIGHT_LUNG) / 1000, rel=0.02)


def test_volume_allows_for_uneven_slices() -> None:
    mask = np.ones((3, 10, 10), dtype=np.bool_)
    mask[1, :, 5:] = False
    volume = lungs.volume_ml(mask, thickness=np.array([1.0, 2.0, 4.0]), pixel_area=0.5)
    assert volume == pytest.approx((100 * 1 + 50 * 2 + 100 * 4) * 0.5 / 1000)


@pytest.mark.parametrize("spacing", [SPACING, (10.0, 0.8, 0.8), (1.25, 2.0, 2.0)])
@pytest.mark.parametrize("bridge", [4.0, 12.0, 25.0])
def test_touching_lungs_part_at_the_bridge(spacing: tuple[float, float, float], bridge: float) -> None:
    right, left = pair(spacing)
    joined = right | left | box((-40, 40), (-bridge / 2, bridge / 2), (-40, 40), spacing)
    labels = lungs.separate(joined, spacing=spacing)
    np.testing.assert_array_equal(labels > 0, joined)
    assert dice((labels == RIGHT) & (right | left), right) > 0.99
    assert dice((labels == LEFT) & (right | left), left) > 0.99


def test_lungs_grown_into_each_other_part_in_the_middle() -> None:
    right, left = pair(apart=85)
    labels = lungs.separate(right | left, spacing=SPACING)
    np.testing.assert_array_equal(labels > 0, right | left)
    assert dice(labels == RIGHT, right & ~left) > 0.95
    assert dice(labels == LEFT, left & ~right) > 0.95


def test_what_does_not_come_apart_is_parted_by_the_midline() -> None:
    blob = ellipsoid(0, (100, 80, 120))
    labels = lungs.separate(blob, spacing=SPACING)
    np.testing.assert_array_equal(labels > 0, blob)
    assert (labels == RIGHT).sum() == pytest.approx((labels == LEFT).sum(), rel=0.1)
    columns = [np.argwhere(labels == side)[:, 2].mean() for side in (RIGHT, LEFT)]
    assert columns[0] < columns[1]


@pytest.mark.parametrize(("x", "side"), [(-65.0, RIGHT), (65.0, LEFT)])
def test_one_lung_has_its_side(x: float, side: int) -> None:
    lung = ellipsoid(x, RIGHT_LUNG)
    labels = lungs.separate(lung, spacing=SPACING)
    np.testing.assert_array_equal(labels, lung * np.uint8(side))


def test_one_lung_that_reaches_over_the_midline_stays_one() -> None:
    lung = ellipsoid(-40, (110, 75, 60)) & ~box((-10, -4), (-200, 200), (-200, 200))
    assert 0.05 < (lung[..., lung.shape[2] // 2 :].sum() / lung.sum()) < 0.2
    labels = lungs.separate(lung, spacing=SPACING)
    np.testing.assert_array_equal(labels, lung * np.uint8(RIGHT))


def test_a_lung_in_two_parts_is_one_side() -> None:
    right, left = pair()
    cut = right & ~box((-20, -8), (-200, 200), (-200, 200))
    labels = lungs.separate(cut | left, spacing=SPACING)
    np.testing.assert_array_equal(labels == RIGHT, cut)
    np.testing.assert_array_equal(labels == LEFT, left)


def test_the_smaller_lung_may_be_small() -> None:
    right, small = ellipsoid(-65, RIGHT_LUNG), ellipsoid(70, (60, 45, 35), z=40)
    labels = lungs.separate(right | small, spacing=SPACING)
    np.testing.assert_array_equal(labels == RIGHT, right)
    np.testing.assert_array_equal(labels == LEFT, small)


def test_crumbs_are_left_out() -> None:
    right, left = pair()
    crumb = ellipsoid(0, (8, 8, 8), z=-135)
    labels = lungs.separate(right | left | crumb, spacing=SPACING)
    np.testing.assert_array_equal(labels > 0, right | left)


def test_the_body_need_not_be_in_the_middle_of_the_picture() -> None:
    lung = ellipsoid(-20, (110, 75, 55))
    width = lung.shape[2]
    assert set(np.unique(lungs.separate(lung, spacing=SPACING, midline=0.8 * width))) == {0, RIGHT}
    assert set(np.unique(lungs.separate(lung, spacing=SPACING, midline=0.1 * width))) == {0, LEFT}


def test_an_empty_mask_has_no_lungs() -> None:
    labels = lungs.separate(np.zeros((9, 20, 20), dtype=np.bool_), spacing=SPACING)
    assert not labels.any()


@pytest.mark.parametrize("shift", [-20, 0, 30])
def test_midline_of_the_body(shift: int) -> None:
    rows, columns = np.ogrid[-60:60, -80:80]
    body = (rows / 40) ** 2 + ((columns - shift) / 45) ** 2 <= 1
    axial = np.where(body, np.float32(-100), np.float32(-1000))
    axial[100:104, 10:150] = -400  # the table
    assert lungs.body_midline(axial) == pytest.approx(80 + shift, abs=1)


def test_midline_of_an_empty_picture_is_its_middle() -> None:
    assert lungs.body_midline(np.full((40, 81), -1000, dtype=np.float32)) == 40


def test_the_real_chest(data: Path) -> None:
    """Air inside the body, lungs joined by the trachea: two lungs, the right ones, of plausible size."""
    folder = data / "dicom" / "lidc_idri_0001"
    series = MemorySource({path.name: path.read_bytes() for path in folder.glob("*.dcm")})
    volume = imaging.read_ct(series, imaging.read_instances(series))
    parts, _ = ndimage.label(volume.hu < -500)
    border = np.unique(np.concatenate([parts[:, 0].ravel(), parts[:, :, 0].ravel(), parts[:, :, -1].ravel()]))
    sizes = np.bincount(parts.ravel())
    sizes[border] = 0
    air = parts == sizes.argmax()
    midline = lungs.body_midline(volume.hu.mean(axis=0, dtype=np.float32))
    labels = lungs.separate(air, spacing=volume.spacing, midline=midline)
    area = volume.spacing[1] * volume.spacing[2]
    right, left = (
        lungs.volume_ml(labels == side, thickness=volume.thickness, pixel_area=area) for side in (RIGHT, LEFT)
    )
    assert 1200 < left < 3000
    assert 1200 < right < 3000
    inner = round(30 / volume.spacing[2])
    assert (labels[..., : round(midline) - inner] == LEFT).mean() < 0.001
    assert (labels[..., round(midline) + inner :] == RIGHT).mean() < 0.001
