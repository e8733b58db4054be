"""What the soak sends: the same seed gives the same bytes, and every kind of damage is damage."""

from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEG2000Lossless

from demo.soak import mutations
from demo.soak.audit import SETTLED
from demo.soak.elements import split
from demo.soak.memory import slope_mib
from demo.soak.mutations import CHANGES, mutate
from demo.soak.recipes import RECIPES
from demo.soak.series import Factory
from tests.dicom_factory import as_file, ct_series, xray_dataset


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film and a CT of 136 slices, small."""
    folder = tmp_path_factory.mktemp("studies")
    film = xray_dataset(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) % 4000, BitsStored=12)
    film.AnatomicRegionSequence = []
    film.ImagerPixelSpacing = [0.1, 0.1]
    slices = ct_series(positions=tuple(np.arange(0, 340, 2.5)), KVP=120, PatientPosition="HFS")
    for number, image in enumerate((film, *slices)):
        for keyword in ("PatientBirthDate", "PatientSex", "PatientAge", "StudyDate"):
            setattr(image, keyword, "")
        image.SpacingBetweenSlices = 2.5
        (folder / f"{number:03d}.dcm").write_bytes(as_file(image))
    return folder


def factory(studies: Path, folder: Path, seed: int = 3) -> Factory:
    """A factory over those studies."""
    film, *slices = sorted(studies.glob("*.dcm"))
    return Factory(xray=film, ct=slices, folder=folder, seed=seed)


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_the_same_seed_gives_the_same_series(studies: Path, tmp_path: Path, recipe: str) -> None:
    one, same = (factory(studies, tmp_path / name).make(5, recipe) for name in ("one", "same"))
    other = factory(studies, tmp_path / "other", seed=4).make(5, recipe)
    assert [file.read_bytes() for file in one.files] == [file.read_bytes() for file in same.files]
    assert one.uid == same.uid != other.uid
    assert set(one.expected) <= set(SETTLED)
    headers = [pydicom.dcmread(file) for file in one.files]
    assert {header.SeriesInstanceUID for header in headers} == {one.uid}
    assert len({header.SOPInstanceUID for header in headers}) == len(headers)


def test_a_ct_is_made_small_and_keeps_its_place(studies: Path, tmp_path: Path) -> None:
    series = factory(studies, tmp_path).make(0, "ct")
    images = [pydicom.dcmread(file) for file in series.files]
    assert len(images) == 34
    assert {(image.Rows, image.Columns, *image.PixelSpacing) for image in images} == {(20, 24, 12, 14)}
    assert {b - a for a, b in zip(heights(images), heights(images)[1:], strict=False)} == {10.0}


def heights(images: list[pydicom.Dataset]) -> list[float]:
    return [float(image.ImagePositionPatient[2]) for image in images]


def test_only_a_series_that_arrived_whole_has_to_end_as_it_deserves(studies: Path, tmp_path: Path) -> None:
    series = factory(studies, tmp_path).make(0, "ct")
    assert series.sent(series.files).expected == ("done",)
    part = series.sent(series.files[:-1])
    assert part.expected == SETTLED
    assert len(part.acknowledged) == len(series.files) - 1


def test_a_file_is_cut_into_its_elements_and_joined_again(studies: Path, tmp_path: Path) -> None:
    for recipe in ("xray", "xray compressed", "ct"):
        file = factory(studies, tmp_path).make(1, recipe).files[0].read_bytes()
        parts = split(file)
        assert parts.joined() == file
        assert [e.tag for e in parts.elements] == sorted(pydicom.dcmread(io.BytesIO(file)).keys())
    implicit = factory(studies, tmp_path).make(1, "ct shuffled").files[0].read_bytes()
    with pytest.raises(ValueError, match="Implicit"):
        split(implicit)


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_every_change_damages_and_the_seed_repeats_it(
    studies: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mutations, "BOMB_MIB", 2)
    film = pydicom.dcmread(sorted(studies.glob("*.dcm"))[0])
    film.compress(JPEG2000Lossless)
    file = as_file(film)
    damaged = [CHANGES[name](file, random.Random(seed)) for seed in (1, 1, 2, 3, 4, 5)]
    assert damaged[0] == damaged[1]
    assert sum(other != file for other in damaged) >= len(damaged) - 1
    assert len(set(damaged)) > 2


def test_mutations_are_named_and_repeated(studies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutations, "BOMB_MIB", 2)
    file = sorted(studies.glob("*.dcm"))[1].read_bytes()
    made = [mutate(file, random.Random(seed)) for seed in range(40)]
    assert made == [mutate(file, random.Random(seed)) for seed in range(40)]
    names = {name for _, names in made for name in names.split("+")}
    assert len(names & set(CHANGES)) >= 8
    assert mutate(b"no DICOM", random.Random(1))[1] in {"lengthened", "bytes flipped", "cut off", "nothing"}


def test_a_bomb_is_small_and_bounded(studies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutations, "BOMB_MIB", 8)
    file = sorted(studies.glob("*.dcm"))[0].read_bytes()
    bomb = CHANGES["deflate bomb"](file, random.Random(1))
    header = pydicom.dcmread(io.BytesIO(bomb))
    assert header.file_meta.TransferSyntaxUID.is_deflated
    assert len(bomb) < 100_000
    assert 1 << 20 <= len(header.PixelData) < 8 << 20


def test_the_slope_is_that_of_the_second_half() -> None:
    assert slope_mib([500, 900, 1000, 1000, 1010, 1020, 1030]) == pytest.approx(10)
    assert slope_mib([500]) == 0
