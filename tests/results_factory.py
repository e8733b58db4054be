"""Synthetic sources for the tests of the results: headers, volumes and findings, made from nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from plugin.analysis.attention import AttentionMap
from plugin.dicom.imaging import CtVolume, Instance, XrayImage
from plugin.domain.codes import Code, Role
from plugin.domain.findings import (
    Algorithm,
    Classification,
    ClassProbability,
    Findings,
    LungMeasurement,
    LungMeasurements,
    Remark,
    Side,
)
from plugin.domain.volume_errors import VolumeErrors
from plugin.results.common import SeriesLabel
from plugin.results.identity import Identity
from plugin.results.opacities import largest_opacities
from plugin.results.sr.regions import Regions, ct_regions

STUDY = "1.2.826.0.1.3680043.8.498.1"
SERIES = "1.2.826.0.1.3680043.8.498.2"
FRAME = "1.2.826.0.1.3680043.8.498.3"
CREATED = datetime(2024, 5, 17, 9, 30, 15)
IDENTITY = Identity(series_uid=SERIES, reading="r1", created=CREATED)
LABEL = SeriesLabel(software_version="0.1.0")

COVID = Code(value="840544004", scheme="SCT", meaning="Suspected disease caused by 2019-nCoV")


def header(index: int = 1, **attributes: object) -> Dataset:
    """A source header of the test study; ``attributes`` override or, where None, are taken out."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = f"{SERIES}.{index}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = STUDY, SERIES
    ds.PatientName, ds.PatientID = "Doe^Jane", "P-1"
    ds.PatientBirthDate, ds.PatientSex, ds.PatientAge = "19600102", "F", "064Y"
    ds.StudyDate, ds.StudyTime, ds.StudyID = "20240516", "101500", "S1"
    ds.AccessionNumber, ds.ReferringPhysicianName = "A-77", "House^Greg"
    ds.StudyDescription, ds.SeriesDescription = "Chest CT", "Lung 1.25"
    ds.Modality, ds.Manufacturer, ds.InstanceNumber = "CT", "Maker", index
    ds.SeriesNumber = 3
    for keyword, value in attributes.items():
        if value is None:
            ds.pop(keyword, None)
        else:
            setattr(ds, keyword, value)
    return ds


ORIENTATIONS: dict[str, tuple[int, int, int, int, int, int]] = {
    "supine": (1, 0, 0, 0, 1, 0),
    "prone": (-1, 0, 0, 0, -1, 0),
    "columns flipped": (-1, 0, 0, 0, 1, 0),
    "rows flipped": (1, 0, 0, 0, -1, 0),
    "transposed": (0, 1, 0, 1, 0, 0),
    "transposed, flipped": (0, -1, 0, -1, 0, 0),
}


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Where the voxels of a synthetic CT are: millimetres of each axis of the canonical volume."""

    z: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    x: npt.NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, int, int]:
        return (len(self.z), len(self.y), len(self.x))

    def ball(self, centre: tuple[float, float, float], radius: float) -> npt.NDArray[np.bool_]:
        """Voxels whose centre (x, y, z) lies within a ball in patient space."""
        x, y, z = centre
        squared = (
            (self.z[:, None, None] - z) ** 2
            + (self.y[None, :, None] - y) ** 2
            + (self.x[None, None, :] - x) ** 2
        )
        return np.asarray(squared <= radius**2)


def grid(
    slices: int = 24, rows: int = 40, columns: int = 48, spacing: tuple[float, float, float] = (5, 6, 5)
) -> Grid:
    """A regular grid around the origin."""
    axes = [
        np.round((np.arange(n) - (n - 1) / 2) * step, 4)
        for n, step in zip((slices, rows, columns), spacing, strict=True)
    ]
    return Grid(z=axes[0], y=axes[1], x=axes[2])


def volume(
    where: Grid,
    orientation: str = "supine",
    hu: npt.NDArray[np.int16] | None = None,
    **attributes: object,
) -> CtVolume:
    """A volume on that grid whose sources store their frames in the given orientation."""
    cosines = ORIENTATIONS[orientation]
    row_axis = int(np.argmax(np.abs(cosines[:3])))  # patient axis along which the column index runs
    transposed = row_axis == 1
    sign = {row_axis: sum(cosines[:3]), 1 - row_axis: sum(cosines[3:])}
    first = {
        0: where.x[0] if sign[0] > 0 else where.x[-1],
        1: where.y[0] if sign[1] > 0 else where.y[-1],
    }
    dy, dx = where.y[1] - where.y[0], where.x[1] - where.x[0]
    rows, columns = where.shape[1:]
    sources = []
    for index, z in enumerate(where.z):
        ds = header(
            index + 1,
            Rows=columns if transposed else rows,
            Columns=rows if transposed else columns,
            PixelSpacing=[dx, dy] if transposed else [dy, dx],
            ImageOrientationPatient=list(cosines),
            ImagePositionPatient=[first[0], first[1], z],
            FrameOfReferenceUID=FRAME,
            SliceThickness=5,
            **attributes,
        )
        sources.append(Instance(instance_id=f"i{index}", header=ds, has_pixels=True))
    edges = np.concatenate([where.z[:1], (where.z[1:] + where.z[:-1]) / 2, where.z[-1:]])
    thickness = np.diff(edges)
    thickness[[0, -1]] *= 2
    return CtVolume(
        hu=hu if hu is not None else np.full(where.shape, -700, np.int16),
        sources=tuple(sources),
        spacing=(float(np.median(np.diff(where.z))), float(dy), float(dx)),
        positions=np.asarray(where.z, float),
        thickness=thickness,
        transposed=transposed,
        flip_rows=bool(sign[1] < 0),
        flip_columns=bool(sign[0] < 0),
    )


def lungs_on(where: Grid) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Two lungs (1 right, at -x; 2 left, at +x) and findings, one of which reaches out of the lung."""
    labels = np.zeros(where.shape, np.uint8)
    labels[where.ball((-60, 0, 5), 45)] = 1
    labels[where.ball((60, 10, 0), 40)] = 2
    findings = where.ball((-60, 30, 10), 18) | where.ball((-30, 0, 0), 25)
    return labels, findings


def algorithm(name: str, operating_points: tuple[tuple[str, float], ...] = ()) -> Algorithm:
    """An algorithm of that name."""
    return Algorithm(
        name=name,
        version="1.2.0",
        title=name.replace("-", " ").title(),
        manufacturer="orthanc-chest-ai",
        sha256="ab" * 32,
        provider="CPUExecutionProvider",
        operating_points=operating_points,
    )


def classification(
    name: str = "ct-axial", projection: str | None = "axial", probability: float = 0.83
) -> Classification:
    """A two-class result on a CT, or with no projection a three-class one on an X-ray."""
    finding = ClassProbability(
        role="finding",
        name="COVID",
        meaning="Opacity consistent with COVID-19 pneumonia",
        code=COVID,
        probability=probability,
        threshold=0.53,
    )
    rest: list[tuple[str, Role, str, float]] = [("NON-COVID", "other", "No such opacity", 1 - probability)]
    if projection is None:
        rest = [
            ("NON-COVID", "other", "No COVID-19 pneumonia", 0.75 * (1 - probability)),
            ("REJECTION", "reject", "Not a usable frontal chest X-ray", 0.25 * (1 - probability)),
        ]
    others = [
        ClassProbability(name=n, meaning=m, code=None, role=r, probability=p, threshold=0.5)
        for n, r, m, p in rest
    ]
    classes = (*others, finding) if projection else (finding, *others)
    return Classification(
        algorithm=algorithm(name, tuple((c.name, c.threshold) for c in classes)),
        projection=projection,
        classes=classes,
        called="COVID" if probability >= 0.53 else "NON-COVID",
    )


def measurements(
    right: tuple[float, float] = (2310.4, 298.25), left: tuple[float, float] = (1987.6, 81.5)
) -> LungMeasurements:
    """Volumes (lung, findings) in mL of both lungs."""
    return LungMeasurements(
        algorithm=algorithm("ct-segmentation", (("lung", 0.5), ("findings", 0.3))),
        right=LungMeasurement(side=Side.RIGHT, volume_ml=right[0], findings_ml=right[1]),
        left=LungMeasurement(side=Side.LEFT, volume_ml=left[0], findings_ml=left[1]),
    )


ERRORS = VolumeErrors(floor_percent=5.0, low=0.5, high=2.0, least_percent=1.0, most_percent=40.0, patients=11)
"""Where 8.836 % are marked, as in :func:`measurements`, experts outline 1.918 to 22.672 %."""


def with_margin() -> LungMeasurements:
    """Volumes whose network's errors were measured."""
    usual = measurements()
    return replace(usual, algorithm=replace(usual.algorithm, volume_errors=ERRORS))


def ct_findings(remarks: tuple[Remark, ...] = (), lungs: LungMeasurements | None = None) -> Findings:
    """A CT with two classifiers and measured lungs."""
    return Findings(
        modality="ct",
        classifications=(classification(), classification("ct-sagittal", "sagittal", 0.41)),
        lungs=lungs or measurements(),
        remarks=remarks,
    )


def three_classifiers() -> Findings:
    """A CT with two classifiers of projections and one of the segmented volume."""
    usual = ct_findings()
    third = classification("ct-volume", "volume", 0.91)
    return replace(usual, classifications=(*usual.classifications, third))


def xray_findings(remarks: tuple[Remark, ...] = (), probability: float = 0.83) -> Findings:
    """An X-ray with one classifier."""
    return Findings(
        modality="xray",
        classifications=(classification("xray-lite2", None, probability),),
        remarks=remarks,
    )


def xray(shape: tuple[int, int] = (600, 500), **attributes: object) -> XrayImage:
    """A synthetic X-ray: a bright body with two dark lungs."""
    rows, columns = np.indices(shape)
    y, x = rows / shape[0] - 0.5, columns / shape[1] - 0.5
    pixels = np.full(shape, 0.75, np.float32)
    for centre in (-0.2, 0.2):
        pixels[((x - centre) / 0.15) ** 2 + (y / 0.35) ** 2 < 1] = 0.25
    wanted: dict[str, object] = {
        "SOPClassUID": DigitalXRayImageStorageForPresentation,
        "Modality": "DX",
        "Rows": shape[0],
        "Columns": shape[1],
        "PatientOrientation": ["L", "F"],
        "ImagerPixelSpacing": [0.6, 0.6],
        "PhotometricInterpretation": "MONOCHROME1",
    }
    source = Instance(instance_id="x", header=header(**(wanted | attributes)), has_pixels=True)
    return XrayImage(source=source, pixels=pixels)


def attention_for(image: XrayImage) -> AttentionMap:
    """A hill of attention at row 350, column 150; the first 50 rows were not seen."""
    rows, columns = np.indices(image.pixels.shape)
    hill = np.exp(-((rows - 350) ** 2 + (columns - 150) ** 2) / 5000).astype(np.float32)
    hill[:50] = np.nan
    return AttentionMap(shades=hill, outside=0.0)


def regions_of(
    *, volume: CtVolume, lungs: npt.NDArray[np.uint8], findings_mask: npt.NDArray[np.bool_]
) -> Regions:
    """What a Structured Report outlines of these masks, as the pipeline makes it."""
    opacities = largest_opacities(volume, findings_mask & (lungs > 0))
    return ct_regions(volume=volume, lungs=lungs, findings_mask=findings_mask, opacities=opacities)
