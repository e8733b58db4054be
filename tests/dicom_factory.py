"""Synthetic DICOM for the tests: a body in patient coordinates, cut into series as scanners store them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    ExplicitVRLittleEndian,
    generate_uid,
)

Points = npt.NDArray[np.float64]


class MemorySource:
    """A series kept in memory: instance id to file."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = dict(files)
        self.reads = 0

    @property
    def instance_ids(self) -> Sequence[str]:
        return tuple(self._files)

    def read(self, instance_id: str) -> bytes:
        self.reads += 1
        return self._files[instance_id]


def source(*datasets: Dataset) -> MemorySource:
    """A series of these instances, named i000, i001, …"""
    return MemorySource({f"i{n:03d}": as_file(dataset) for n, dataset in enumerate(datasets)})


def as_file(dataset: Dataset) -> bytes:
    """The instance as a DICOM file."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def body_hu(points: Points) -> npt.NDArray[np.int16]:
    """HU at points (…, 3) in mm, LPS: an ellipsoid body, a large right lung, a smaller left lung, a heart.

    The heart lies to the left and in front, the liver side is right: nothing is symmetrical.
    """

    def inside(centre: tuple[float, float, float], radii: tuple[float, float, float]) -> Any:
        return (((points - np.array(centre)) / np.array(radii)) ** 2).sum(axis=-1) <= 1

    hu = np.full(points.shape[:-1], -1000, dtype=np.int16)
    hu[inside((0, 0, 0), (150, 100, 300))] = 40
    hu[inside((-70, 5, 5), (52, 68, 95))] = -850
    hu[inside((72, 5, 15), (46, 68, 85))] = -820
    hu[inside((30, -45, -30), (42, 35, 45))] = 60
    return hu


def xray_dataset(pixels: npt.NDArray[Any], **attributes: Any) -> FileDataset:
    """A chest CR of these stored values. Attributes replace or add to the header; None removes."""
    dataset = _image(pixels, ComputedRadiographyImageStorage, "CR")
    dataset.BodyPartExamined = "CHEST"
    dataset.ViewPosition = "PA"
    return _with(dataset, attributes)


def ct_series(
    *,
    row: tuple[float, float, float] = (1, 0, 0),
    column: tuple[float, float, float] = (0, 1, 0),
    positions: Sequence[float] = tuple(np.arange(-97.5, 100, 5.0)),
    shape: tuple[int, int] = (40, 48),
    spacing: tuple[float, float] = (6.0, 7.0),
    hu: Callable[[Points], npt.NDArray[np.int16]] = body_hu,
    slope: float = 1,
    intercept: float = -1024,
    signed: bool = False,
    **attributes: Any,
) -> list[FileDataset]:
    """A CT series: slices at these z (mm) in this order, ``row`` and ``column`` as Image Orientation.

    ``shape`` rows and columns of the frames, ``spacing`` mm between rows and between columns; the centre
    of each frame lies at x = y = 0.
    """
    along_row, down_column = np.asarray(row, dtype=float), np.asarray(column, dtype=float)
    across = np.arange(shape[1]) * spacing[1]
    down = np.arange(shape[0]) * spacing[0]
    corner = -(along_row * across[-1] + down_column * down[-1]) / 2
    plane = corner + down[:, None, None] * down_column + across[None, :, None] * along_row
    uids = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    series = []
    for number, z in enumerate(positions, start=1):
        stored = np.rint((hu(plane + np.array([0, 0, z])) - intercept) / slope)
        dataset = _image(stored.astype(np.int16 if signed else np.uint16), CTImageStorage, "CT")
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.InstanceNumber = number
        dataset.BodyPartExamined = "CHEST"
        dataset.ImageOrientationPatient = [*row, *column]
        dataset.ImagePositionPatient = [float(v) for v in corner + np.array([0, 0, z])]
        dataset.PixelSpacing = list(spacing)
        dataset.SliceThickness = 2.5
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
        series.append(_with(dataset, uids | attributes))
    return series


def canonical_body(
    positions: Sequence[float], shape: tuple[int, int], spacing: tuple[float, float]
) -> npt.NDArray[np.int16]:
    """The body on a canonical grid: slices to the head, rows to posterior, columns to the left."""
    y = (np.arange(shape[0]) - (shape[0] - 1) / 2) * spacing[0]
    x = (np.arange(shape[1]) - (shape[1] - 1) / 2) * spacing[1]
    zz, yy, xx = np.meshgrid(np.sort(np.asarray(positions)), y, x, indexing="ij")
    return body_hu(np.stack([xx, yy, zz], axis=-1))


def _image(pixels: npt.NDArray[Any], sop_class: str, modality: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.Modality = modality
    dataset.PatientID, dataset.PatientName = "SYNTHETIC", "Synthetic^Body"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.InstanceNumber = 1
    bits = 8 * pixels.dtype.itemsize
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = np.ascontiguousarray(pixels).tobytes()
    dataset["PixelData"].VR = "OW" if bits > 8 else "OB"
    return dataset


def _with(dataset: FileDataset, attributes: Mapping[str, Any]) -> FileDataset:
    for keyword, value in attributes.items():
        if value is None:
            if keyword in dataset:
                delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset
