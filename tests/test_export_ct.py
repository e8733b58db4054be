"""CT training data: derived lungs, slabs, spoiled chests, on a made-up body of simple shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("nibabel", reason="nibabel is only needed for training")

from export.data import ct, ct_lungs, ct_projections, ct_spoiled

SPACING = (5.0, 4.0, 4.0)
SHAPE = (40, 64, 80)


def ellipsoid(centre: tuple[float, float, float], radii: tuple[float, float, float]) -> np.ndarray:
    k, j, i = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    inside = sum(((axis - c) / r) ** 2 for axis, c, r in zip((k, j, i), centre, radii, strict=True))
    return np.asarray(inside <= 1)


@pytest.fixture(scope="module")
def chest() -> ct.Volume:
    """A body with two lungs, a trachea above them and an opacity in the left lung."""
    hu = np.full(SHAPE, -1024, dtype=np.int16)
    j, i = np.ogrid[: SHAPE[1], : SHAPE[2]]
    hu[:, ((j - 32) / 28) ** 2 + ((i - 40) / 37) ** 2 <= 1] = 40
    lungs = ellipsoid((20, 32, 22), (14, 18, 13)) | ellipsoid((20, 32, 58), (14, 18, 13))
    hu[lungs] = -850
    hu[22:, 30:35, 38:43] = -990
    lesion = ellipsoid((14, 40, 58), (4, 5, 5))
    hu[lesion] = -300
    lung = ct_lungs.derive_lungs(hu, SPACING, lesion)
    return ct.Volume("made-up", "made-up", hu, SPACING, lesion, lung, covid=True)


def test_derived_lungs_hold_the_opacity_but_no_airway(chest: ct.Volume) -> None:
    truth = ellipsoid((20, 32, 22), (14, 18, 13)) | ellipsoid((20, 32, 58), (14, 18, 13))
    overlap = 2 * (chest.lung & truth).sum() / (chest.lung.sum() + truth.sum())
    assert overlap > 0.95
    assert chest.lung[chest.lesion].all()
    assert not chest.lung[22:, 30:35, 38:43].any()


def test_no_lungs_in_a_body_without_air() -> None:
    hu = np.full(SHAPE, 40, dtype=np.int16)
    assert not ct_lungs.derive_lungs(hu, SPACING, np.zeros(SHAPE, dtype=np.bool_)).any()


def test_sagittal_and_coronal_projections_have_the_head_on_top() -> None:
    values = np.zeros((3, 2, 4), dtype=np.float32)
    values[2, 1] = 1
    axial, sagittal, coronal = ct_projections.orthogonal(values)
    assert axial.shape == (2, 4)
    assert sagittal.tolist() == [[0, 1], [0, 0], [0, 0]]
    assert coronal.tolist() == [[0.5] * 4, [0] * 4, [0] * 4]


def test_healing_changes_nothing_but_the_findings(chest: ct.Volume) -> None:
    values = ct_projections.preprocess.window(chest.hu, -1024, 200)
    healed = ct_projections.heal(chest, values, np.random.default_rng(1))
    assert (healed[~chest.lesion] == values[~chest.lesion]).all()
    assert healed[chest.lesion].mean() < 0.6 * values[chest.lesion].mean()


def test_implants_lie_in_the_lungs_and_make_them_denser(chest: ct.Volume) -> None:
    values = ct_projections.preprocess.window(chest.hu, -1024, 200)
    changed, mask = ct_projections.implant(chest, values, np.random.default_rng(4))
    assert mask.any()
    assert not (mask & ~chest.lung).any()
    assert (changed[~mask] == values[~mask]).all()
    assert changed[mask].mean() > values[mask].mean() + 0.05


@pytest.mark.parametrize(
    ("findings", "lung", "label"),
    [(0.0, 500.0, 0), (20.0, 500.0, 1), (4.0, 500.0, None), (2.0, 120.0, None), (0.0, 50.0, None)],
)
def test_labels_leave_out_what_is_not_sure(findings: float, lung: float, label: int | None) -> None:
    assert ct_projections.label_of(findings, lung) == label


@pytest.mark.parametrize("axis", ["axial", "sagittal"])
def test_slabs_with_and_without_findings(chest: ct.Volume, axis: ct_projections.Axis) -> None:
    draw = np.random.default_rng(2)
    found = list(ct_projections.slabs(chest, axis, 40, draw, training=True))
    real = [s for s in found if s.kind == "slab"]
    assert {s.label for s in real} == {0, 1}
    assert {s.label for s in found if "healed" in s.kind} == {0}
    assert all(s.measured == ("healed" not in s.kind) for s in found)
    assert {s.kind for s in found} >= {"whole", "healed most", "healed whole", "healed slab"}
    rows = SHAPE[1] if axis == "axial" else SHAPE[0]
    assert {s.pictures[0].shape[0] for s in found} == {rows}


def test_spoiled_chests_are_rejects_and_whole_ones_are_not(chest: ct.Volume) -> None:
    draw = np.random.default_rng(3)
    found = list(ct_spoiled.chest_samples(chest, 8, draw))
    kinds = {s.kind for s in found if s.label == ct_spoiled.REJECT}
    assert kinds == set(ct_spoiled.SPOILED) - {"below the lungs"}
    assert {s.kind for s in found if s.label == ct_spoiled.ACCEPT} == {"as stored", "whole"}
    assert all(s.pictures[0].min() >= 0 and s.pictures[0].max() <= 1 for s in found)


def test_folds_keep_every_patient_in_one_place(data: Path) -> None:
    held = [ct.held_out(fold) for fold in range(ct.FOLDS)]
    assert sorted(name for fold in held for name in fold) == sorted(ct.chest_names())
    assert {ct.source_of(name) for name in held[1]} >= {"coronacases", "radiopaedia"}


def test_volumes_are_in_the_plugins_orientation(data: Path) -> None:
    """The left lung, beside the heart, is the smaller; the base is wide, the apex narrow; spine behind."""
    volume = ct.load_volume("coronacases_001")
    assert volume.spacing == pytest.approx((1.25, 1.367, 1.367), abs=0.01)
    bone = np.argwhere(volume.hu[100:200] > 250)
    lung = np.argwhere(volume.lung)
    behind = bone[bone[:, 1] > lung[:, 1].mean()]
    spine = np.median(behind[:, 2])
    assert len(behind) > len(bone) / 2
    assert (lung[:, 2] > spine).sum() < (lung[:, 2] < spine).sum()
    assert np.median(lung[:, 0]) < (lung[:, 0].min() + lung[:, 0].max()) / 2
