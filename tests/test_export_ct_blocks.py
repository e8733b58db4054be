"""Blocks of a volume projected over its lungs for training: the plugin's own pictures, and their labels."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("nibabel", reason="nibabel is only needed for training")

from export.data.ct_blocks import SCALE, SIZE, Block, LungStack, blocks_of, pictures_of, projected
from plugin.analysis.lung_projection import LungProjections, lung_level
from plugin.analysis.preprocess import resize

SPACING = (5.0, 3.0, 2.0)
SHAPE = (24, 40, 60)


@pytest.fixture(scope="module")
def chest() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """HU, lungs and an opacity at the base of the one with the higher columns."""
    draw = np.random.default_rng(5)
    lungs = np.zeros(SHAPE, dtype=np.bool_)
    lungs[3:21, 8:32, 6:26] = lungs[3:21, 8:32, 34:54] = True
    lesion = np.zeros_like(lungs)
    lesion[3:8, 20:30, 40:50] = True
    hu = draw.integers(-100, 300, size=SHAPE).astype(np.int16)
    hu[lungs] = draw.integers(-950, -700, size=int(lungs.sum()))
    hu[lesion] = draw.integers(-500, 0, size=int(lesion.sum()))
    return hu, lungs, lesion


def plugins(hu: np.ndarray, lungs: np.ndarray, level: float) -> LungProjections:
    thickness = np.full(len(hu), SPACING[0])
    sums = LungProjections(SCALE, level=level, spacing=SPACING, thickness=thickness)
    for slice_, mask in zip(hu, lungs, strict=True):
        sums.add(slice_, mask)
    return sums


@pytest.mark.parametrize(
    ("slices", "columns"), [((0, 24), (0, 60)), ((4, 15), (0, 60)), ((0, 24), (10, 40)), ((5, 6), (0, 60))]
)
def test_training_and_plugin_make_the_same_pictures(
    chest: tuple[np.ndarray, np.ndarray, np.ndarray], slices: tuple[int, int], columns: tuple[int, int]
) -> None:
    hu, lungs, lesion = chest
    stack, block = LungStack(hu, lungs, lesion, SPACING), Block(slices, columns, "slab")
    part = (slice(*slices), slice(None), slice(*columns))
    served = plugins(hu[part], lungs[part], lung_level(hu, lungs))
    for sums, theirs in ((stack.axial(block), served.axial), (stack.sagittal(block), served.sagittal)):
        ours, given = pictures_of(sums), theirs.pictures(SCALE)
        assert ours is not None
        assert given is not None
        assert ours.box == given.box
        for one, another in zip(ours.channels, given.channels, strict=True):
            np.testing.assert_allclose(one, another, atol=2e-4)


def test_bytes_are_the_pictures_and_the_share_of_lesion(
    chest: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    hu, lungs, lesion = chest
    whole = LungStack(hu, lungs, lesion, SPACING).project(Block((0, 24), (0, 60), "whole"))
    assert whole is not None
    pictures = plugins(hu, lungs, lung_level(hu, lungs)).axial.pictures(SCALE)
    assert pictures is not None
    for stored, picture in zip(whole.axial, pictures.channels, strict=False):
        np.testing.assert_allclose(stored / 255, resize(picture, SIZE, SIZE), atol=3e-3)
    assert whole.axial[3].max() == pytest.approx(255 * 5 / 18, abs=2)
    assert whole.lesion_ml == pytest.approx(lesion.sum() * 30 / 1000)
    assert whole.coverage == pytest.approx(1.0)
    assert whole.label == 1


def test_blocks_hold_findings_or_none_surely(chest: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    hu, lungs, lesion = chest
    stack = LungStack(hu, lungs, lesion, SPACING)
    drawn = list(blocks_of(stack, 60, np.random.default_rng(1)))
    made = list(projected(stack, drawn))
    assert {p.block.kind for p in made} == {"whole", "most", "slab"}
    assert {p.label for p in made} == {0, 1}
    for part in made:
        inside = lesion[slice(*part.block.slices), :, slice(*part.block.columns)]
        assert part.label == int(inside.any())
        assert 0 < part.coverage < 1 + 1e-9
    assert all(p.coverage > 0.7 for p in made if p.block.kind == "most")
