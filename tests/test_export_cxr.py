"""X-ray data: patients stay in one fold, variants stay chests, spoiled pictures are spoiled."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the export side needs PyTorch")
pytest.importorskip("sklearn", reason="the export side needs scikit-learn")

from export.data import cxr
from export.data.cxr_variants import SPOILED, everyday, with_lungs_only, without_lungs
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
        assert labels == {cxr.COVID, cxr.NON_COVID, cxr.REJECTION, cxr.UNSURE}


def test_every_film_knows_its_collection_and_boxes_lie_on_films_with_opacities() -> None:
    films = _films()
    assert {film.source for film in films if film.frontal} == {
        cxr.SIIM,
        cxr.IEEE8023,
        cxr.NIH,
        *cxr.UNSEEN,
    }
    boxed = [film for film in films if film.boxes]
    assert len(boxed) > 3000
    assert {film.source for film in boxed} == {cxr.SIIM}
    assert {film.label for film in boxed} == {cxr.COVID, cxr.UNSURE}


def test_the_mask_of_a_box_is_255_inside() -> None:
    film = cxr.Film(Path("none"), cxr.COVID, cxr.SIIM, "", "", "", boxes=((0.25, 0.5, 0.5, 1.0),))
    mask = cxr.box_mask(film, 8, 16)
    assert mask[4:, 4:8].min() == 255
    assert int((mask > 0).sum()) == 4 * 4


def test_lung_masks_fit_their_films() -> None:
    if find_spec("torchxrayvision") is None:
        pytest.skip("the lung masks come from the wheel torchxrayvision")
    films = [film for film in _films() if film.label == cxr.COVID and film.source == cxr.IEEE8023][:20]
    masks = cxr.read_lung_masks(films)
    assert len(masks) == 20
    for film in films:
        assert masks[film.path].shape == cxr.read_picture(film.path).shape
        assert 0.05 < masks[film.path].mean() < 0.7


def test_everyday_variants_are_seeded(picture: cxr.Picture) -> None:
    mask = np.zeros_like(picture)
    first, again, other = (everyday(picture, mask, seed, 128)[0] for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.dtype == np.uint8
    assert first.shape == (128, 128)


@pytest.mark.parametrize("seed", range(8))
def test_the_boxes_follow_a_variants_geometry(seed: int) -> None:
    """A bright square is where its mask says, whatever was done to the film."""
    film = np.full((160, 200), 60, np.uint8)
    mask = np.zeros_like(film)
    film[60:100, 50:90], mask[60:100, 50:90] = 200, 255
    changed, moved = everyday(film, mask, seed, 128)
    inside, outside = changed[moved > 250], changed[moved == 0]
    assert inside.size > 300
    assert np.median(inside) > np.median(outside) + 40


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
