"""X-ray data: patients stay in one fold, variants stay chests, spoiled pictures are spoiled."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

pytest.importorskip("torch", reason="the export side needs PyTorch")
pytest.importorskip("monai", reason="the export side needs MONAI")
pytest.importorskip("sklearn", reason="the export side needs scikit-learn")

from export.data import cxr
from export.data.cxr_variants import SPOILED, everyday, with_lungs_only, without_lungs
from export.models import xray_measures, xray_samples
from export.paths import data_folder


def _films() -> list[cxr.Film]:
    try:
        data_folder()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    return cxr.read_films()


@pytest.fixture
def picture() -> cxr.Picture:
    """A gradient with a bright disc: nothing in it is symmetric."""
    row, column = np.mgrid[:200, :160]
    disc = (row - 60) ** 2 + (column - 40) ** 2 < 900
    return np.where(disc, 250, row // 2 + column // 4).astype(np.uint8)


def test_no_patient_is_in_two_folds() -> None:
    films = _films()
    fold = cxr.folds(films)
    for patient in {film.patient for film in films}:
        assert len({int(f) for f, film in zip(fold, films, strict=True) if film.patient == patient}) == 1
    for index in range(5):
        labels = {film.label for f, film in zip(fold, films, strict=True) if f == index}
        assert labels == {0, 1, 2}


def test_variants_of_a_film_are_left_out_with_it() -> None:
    samples = xray_samples.plan(_films(), variants=1, spoiled=1)
    fold = xray_measures.fold_of(samples, 5)
    by_patient: dict[str, set[int]] = {}
    for sample, index in zip(samples, fold, strict=True):
        by_patient.setdefault(sample.film.patient, set()).add(int(index))
    assert all(len(indices) == 1 for indices in by_patient.values())


def test_groups_weigh_as_told() -> None:
    samples = xray_samples.plan(_films(), variants=0, spoiled=1)
    weight = xray_samples.weights(samples)
    groups = np.array([sample.group for sample in samples])
    totals = {group: weight[groups == group].sum() for group in xray_samples.GROUP_WEIGHTS}
    for group, share in xray_samples.GROUP_WEIGHTS.items():
        expected = share / xray_samples.GROUP_WEIGHTS["COVID"]
        assert totals[group] / totals["COVID"] == pytest.approx(expected)


def test_lung_masks_fit_their_films() -> None:
    if find_spec("torchxrayvision") is None:
        pytest.skip("the lung masks come from the wheel torchxrayvision")
    films = [film for film in _films() if film.label == cxr.COVID][:20]
    masks = cxr.read_lung_masks(films)
    assert len(masks) == 20
    for film in films:
        assert masks[film.path].shape == cxr.read_picture(film.path).shape
        assert 0.05 < masks[film.path].mean() < 0.7


def test_everyday_variants_are_seeded(picture: cxr.Picture) -> None:
    assert np.array_equal(everyday(3)(picture), everyday(3)(picture))
    assert not np.array_equal(everyday(3)(picture), everyday(4)(picture))
    assert everyday(3)(picture).dtype == np.uint8


@pytest.mark.parametrize("kind", SPOILED)
def test_spoiled_pictures_differ_from_the_film(kind: str, picture: cxr.Picture) -> None:
    spoiled = SPOILED[kind](picture, np.random.default_rng(0))
    assert spoiled.dtype == np.uint8
    assert spoiled.shape != picture.shape or np.abs(spoiled.astype(int) - picture).mean() > 2


def test_blackout_keeps_the_other_part(picture: cxr.Picture) -> None:
    lungs = picture > 100
    assert not without_lungs(picture, lungs)[lungs].any()
    assert not with_lungs_only(picture, lungs)[~lungs].any()
    assert np.array_equal(without_lungs(picture, lungs) + with_lungs_only(picture, lungs), picture)
