"""The Segmentation against ITK, which reads pixels and geometry with code that shares nothing with ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from pydicom.dataset import Dataset
from results_factory import IDENTITY, LABEL, ct_findings, measurements
from test_results_real import Files

from plugin.dicom.imaging import read_ct, read_instances
from plugin.results.seg.segmentation import build_seg

sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed")

AIR_HU = -600
SLICES = slice(40, 100, 5)
RIGHT, LEFT, FINDINGS = 1, 2, 3


def lay(file: Path, folder: Path, how: str) -> Path:
    """A slice of the synthetic CT, the same in patient space, its pixels stored in another way."""
    image = pydicom.dcmread(file)
    pixels, cosines = image.pixel_array, [float(c) for c in image.ImageOrientationPatient]
    origin = np.array(image.ImagePositionPatient, float)
    steps = np.array([float(image.PixelSpacing[1]), float(image.PixelSpacing[0]), 0])
    if how == "columns flipped":
        pixels, cosines[0] = pixels[:, ::-1], -1.0
        origin[0] += steps[0] * (image.Columns - 1)
    elif how == "rows flipped":
        pixels, cosines[4] = pixels[::-1], -1.0
        origin[1] += steps[1] * (image.Rows - 1)
    elif how == "transposed":
        pixels, cosines = pixels.T, cosines[3:] + cosines[:3]
    elif how == "shifted":
        origin += (31.25, -17.5, 400.0)
    image.ImagePositionPatient, image.ImageOrientationPatient = list(origin), cosines
    image.PixelData = np.ascontiguousarray(pixels).tobytes()
    image.save_as(folder / file.name, enforce_file_format=True)
    return folder / file.name


def laid_on(image: object, seg: Dataset) -> dict[int, npt.NDArray[np.bool_]]:
    """Each segment on the grid of ITK's image, by the physical point of every pixel that is set."""
    shape = image.GetSize()[::-1]  # type: ignore[attr-defined]
    shared = seg.SharedFunctionalGroupsSequence[0]
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    per_row, per_column = (float(v) for v in shared.PixelMeasuresSequence[0].PixelSpacing)
    found = {number: np.zeros(shape, bool) for number in (RIGHT, LEFT, FINDINGS)}
    for frame, groups in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        first = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        rows, columns = np.nonzero(frame)
        points = first + np.outer(columns * per_column, cosines[:3]) + np.outer(rows * per_row, cosines[3:])
        origin, spacing = np.array(image.GetOrigin()), np.array(image.GetSpacing())  # type: ignore[attr-defined]
        direction = np.array(image.GetDirection()).reshape(3, 3)  # type: ignore[attr-defined]
        index = (points - origin) @ direction / spacing
        np.testing.assert_allclose(index, np.rint(index), atol=0.01)
        i, j, k = np.rint(index).astype(int).T
        found[number][k, j, i] = True
    return found


@pytest.mark.parametrize("how", ["as it is", "columns flipped", "rows flipped", "transposed", "shifted"])
def test_every_voxel_lies_on_what_itk_reads(
    synthetic: dict[str, list[Path]], tmp_path: Path, how: str
) -> None:
    folder = tmp_path / "ct"
    folder.mkdir()
    source = Files([lay(file, folder, how) for file in synthetic["ct"][SLICES]])
    volume = read_ct(source, read_instances(source), min_hu_range=0)
    middle = volume.hu.shape[2] // 2
    side = np.where(np.arange(volume.hu.shape[2]) < middle, RIGHT, LEFT).astype(np.uint8)
    # Findings are kept only inside the lungs: here all that is in the upper half of the slices.
    upper = np.arange(volume.hu.shape[0])[:, None, None] >= volume.hu.shape[0] // 2
    lungs = side * (volume.hu < AIR_HU)
    seg = build_seg(
        volume=volume,
        lungs=lungs,
        findings_mask=np.broadcast_to(upper, volume.hu.shape),
        findings=ct_findings(lungs=measurements()),
        identity=IDENTITY,
        label=LABEL,
    )
    assert seg is not None
    file = tmp_path / "seg.dcm"
    seg.save_as(file, enforce_file_format=True)
    stored = pydicom.dcmread(file)

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    found = laid_on(image, stored)
    air = sitk.GetArrayFromImage(image) < AIR_HU
    indices = np.stack(np.nonzero(air)[::-1])
    direction = np.array(image.GetDirection()).reshape(3, 3)
    points = (
        direction @ (np.array(image.GetSpacing())[:, None] * indices) + np.array(image.GetOrigin())[:, None]
    )
    centre = 31.25 if how == "shifted" else 0.0
    heights = np.unique(np.round(points[2], 3))
    of_the_right = np.zeros(air.shape, bool)
    of_the_right[air] = points[0] < centre
    above = np.zeros(air.shape, bool)
    above[air] = points[2] > heights[len(heights) // 2] - 0.1
    np.testing.assert_array_equal(found[RIGHT], of_the_right)
    np.testing.assert_array_equal(found[LEFT], air & ~of_the_right)
    np.testing.assert_array_equal(found[FINDINGS], above)
    # The bits themselves, unpacked by ITK.
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(sitk.ReadImage(str(file))) > 0, stored.pixel_array > 0
    )
