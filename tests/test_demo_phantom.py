"""The synthetic studies: valid DICOM, anatomically where things belong, the same every time."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from pydicom.sr.codedict import codes
from scipy import ndimage

from demo.phantom import ct, torso, write_ct, write_xray, xray
from demo.phantom.canvas import Noise, Slice, Tubes


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom")
    write_ct(folder / "ct", seed=7)
    write_xray(folder / "xray", seed=7)
    return folder


@pytest.fixture(scope="module")
def volume(studies: Path) -> npt.NDArray[np.int16]:
    files = sorted((studies / "ct").iterdir())
    return np.stack([pydicom.dcmread(file).pixel_array.astype(np.int16) - 1024 for file in files])


@pytest.fixture(scope="module")
def film(studies: Path) -> npt.NDArray[np.uint16]:
    return pydicom.dcmread(studies / "xray" / "xray.dcm").pixel_array


def place(x: float, y: float, z: float) -> tuple[int, int, int]:
    """The voxel at patient coordinates in mm."""
    corner = ct.pixel_centres()[0]
    return (
        round((z - ct.LOWEST_MM) / ct.SLICE_MM),
        round((y - corner) / ct.PIXEL_MM),
        round((x - corner) / ct.PIXEL_MM),
    )


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dicom3tools is not installed")
def test_the_files_are_valid_dicom(studies: Path) -> None:
    for file in [*sorted((studies / "ct").iterdir())[::60], studies / "xray" / "xray.dcm"]:
        said = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, check=False)
        assert "Error" not in said.stderr + said.stdout


def test_the_film_says_postero_anterior_in_words_and_code(studies: Path) -> None:
    header = pydicom.dcmread(studies / "xray" / "xray.dcm", stop_before_pixels=True)
    (view,) = header.ViewCodeSequence
    wanted = codes.cid4010.PosteroAnterior
    assert (view.CodeValue, view.CodingSchemeDesignator) == (wanted.value, wanted.scheme_designator)
    assert view.CodeMeaning == wanted.meaning
    assert header.ViewPosition == "PA"


def test_every_file_says_that_it_is_synthetic(studies: Path) -> None:
    for file in studies.rglob("*.dcm"):
        header = pydicom.dcmread(file, stop_before_pixels=True)
        for said in (header.PatientName, header.PatientID, header.StudyDescription, header.ImageComments):
            assert "SYNTHETIC" in str(said)


def test_the_ct_series_is_whole_and_regular(studies: Path) -> None:
    headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in (studies / "ct").iterdir()]
    heights = sorted(float(header.ImagePositionPatient[2]) for header in headers)
    assert len(headers) == ct.SLICES
    assert np.allclose(np.diff(heights), ct.SLICE_MM)
    assert len({header.SOPInstanceUID for header in headers}) == ct.SLICES
    assert len({header.SeriesInstanceUID for header in headers}) == 1


def test_two_lungs_of_a_grown_person(volume: npt.NDArray[np.int16]) -> None:
    airy, _ = ndimage.label(volume < -400)
    lungs = (airy > 0) & (airy != airy[0, 0, 0])
    voxel_ml = ct.SLICE_MM * ct.PIXEL_MM**2 / 1000
    right, left = (lungs[:, :, half].sum() * voxel_ml for half in (slice(0, 256), slice(256, 512)))
    assert 1500 < left < right < 4000


def test_organs_lie_where_they_belong(volume: npt.NDArray[np.int16]) -> None:
    def mean(x: float, y: float, z: float) -> float:
        k, j, i = place(x, y, z)
        return float(volume[k - 1 : k + 2, j - 4 : j + 5, i - 4 : i + 5].mean())

    assert -920 < mean(-85, -20, 20) < -780  # right lung
    assert 20 < mean(45, -24, -45) < 70  # left ventricle
    assert mean(0, 14, 120) < -900  # trachea
    spine = float(torso.spine_place(4.0))
    assert mean(0, spine, 4.0) > 60
    assert volume[place(0, -170, 0)] < -900  # air in front


def test_the_right_dome_is_the_higher_one(volume: npt.NDArray[np.int16]) -> None:
    def dome(x: float) -> float:
        lung = ndimage.median_filter(volume[:, :, place(x, 0, 0)[2]], 5)[:, place(0, -6, 0)[1]] < -600
        return float(ct.positions()[place(0, 0, -20)[0] - np.argmin(lung[place(0, 0, -20)[0] :: -1])])

    assert -100 < dome(90) + 3 < dome(-90) < -60


def test_there_are_opacities_in_both_lower_lobes(volume: npt.NDArray[np.int16]) -> None:
    x = ct.pixel_centres()
    slices = slice(*(place(0, 0, z)[0] for z in (-80, -10)))
    lungs = np.stack([torso.lungs(x[None, :], x[:, None], float(z)) < -6 for z in ct.positions()[slices]])
    smooth = ndimage.median_filter(volume[slices], (1, 5, 5))
    dense = lungs & (smooth > -650) & (smooth < -50)
    for side in (x < -30, x > 30):
        share = dense[:, :, side].sum() / lungs[:, :, side].sum()
        assert 0.02 < share < 0.4


def test_the_film_shows_a_chest_seen_from_behind(film: npt.NDArray[np.uint16]) -> None:
    assert film.shape == (xray.SIZE, xray.SIZE)

    def mean(x: float, z: float) -> float:
        row = round((xray.TOP_MM - z) / xray.PIXEL_MM)
        column = round(x / xray.PIXEL_MM + (xray.SIZE - 1) / 2)
        return float(film[row - 30 : row + 30, column - 30 : column + 30].mean())

    lung = mean(-75, 50)
    assert mean(50, -45) > lung + 400  # the heart is on the patient's left, at the right of the picture
    assert mean(-90, -45) < mean(50, -45)
    assert mean(-70, -110) > mean(50, -45)  # liver
    assert film.std() > 600


def test_the_same_seed_is_the_same_patient(volume: npt.NDArray[np.int16]) -> None:
    again = ct.scan(seed=7)
    for index in range(3):
        assert np.array_equal(next(again), volume[index])
    assert not np.array_equal(next(ct.scan(seed=8)), volume[0])


def test_tubes_keep_their_cross_section() -> None:
    """A tube across the slice covers its area, be it wider or thinner than a pixel."""
    along = np.arange(-20, 20, 0.5, dtype=np.float32)
    for radius in (4.0, 0.5):
        piece = Slice.empty(0.0, along, along)
        piece.hu[:] = 0
        piece.paint_tubes(Tubes.along([(0, 0, -9), (0, 0, 9)], radius), 1.0)
        assert piece.hu.sum() * 0.25 == pytest.approx(np.pi * radius**2, rel=0.25)


def test_noise_is_the_same_on_every_grid() -> None:
    noise = Noise(np.random.default_rng(1), cell=20.0)
    fine = np.arange(-10, 10, 0.5, dtype=np.float32)
    one = noise.on(Slice.empty(3.0, fine, fine))
    other = noise.on(Slice.empty(3.0, fine[::4], fine[::2]))
    assert np.allclose(one[::2, ::4], other, atol=1e-5)
