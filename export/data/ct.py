"""Chest CT volumes for training and measuring: Hounsfield units in the plugin's orientation.

Canonical order: axis 0 towards the head, axis 1 towards posterior, axis 2 towards the patient's left.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pydicom
from nibabel import orientations
from PIL import Image

from export.data.ct_lungs import derive_lungs
from export.paths import data_folder, runs_folder

Hu = npt.NDArray[np.int16]
Mask = npt.NDArray[np.bool_]

#: Chest volumes without COVID-19. The second name of each pair is the collection.
OTHER_CHESTS = {
    "lidc_0002": "LIDC-IDRI",
    "lungdx_A0001_2": "Lung-PET-CT-Dx",
    "lungdx_A0002_2": "Lung-PET-CT-Dx",
    "cip_copdgene64": "COPDGene",
    "lungseg3d_id001": "LungSeg3D",
    "lungseg3d_id002": "LungSeg3D",
}
#: Volumes that are no chest.
NOT_CHESTS = {"pycerr_headneck": "head and neck", "totalseg_abdomen20": "abdomen"}
#: The chest CT that is kept as DICOM: in no training part.
DICOM_CHEST = "lidc_idri_0001"
FOLDS = 3


@dataclass(frozen=True)
class Volume:
    """A CT volume with what is known of it.

    ``hu`` int16 (k, j, i); ``spacing`` (dk, dj, di) in mm; ``lesion`` the expert's mask of findings (all
    false where the patient is said to have none); ``lung`` the lungs, the expert's where
    ``expert_lungs``, else derived. ``covid``: from a collection of COVID-19 patients.
    """

    name: str
    source: str
    hu: Hu
    spacing: tuple[float, float, float]
    lesion: Mask
    lung: Mask
    covid: bool
    expert_lungs: bool = False

    def millilitres(self, mask: Mask) -> float:
        """The volume of a mask of this shape in mL."""
        return float(mask.sum()) * float(np.prod(self.spacing)) / 1000


def covid_names() -> list[str]:
    """The COVID-19 volumes, coronacases first, in the order of ``volumes.csv``."""
    with (data_folder() / "ct_covid" / "volumes.csv").open(newline="") as rows:
        return [row["volume"] for row in csv.DictReader(rows)]


def chest_names() -> list[str]:
    """All chest volumes but the one kept as DICOM."""
    return [*covid_names(), *OTHER_CHESTS]


def source_of(name: str) -> str:
    """The collection a volume comes from."""
    if name in OTHER_CHESTS:
        return OTHER_CHESTS[name]
    return "LIDC-IDRI" if name == DICOM_CHEST else name.split("_", maxsplit=1)[0]


def fold_of(name: str) -> int:
    """The fold (0 to FOLDS - 1) whose networks never see this patient: each source dealt out in turn."""
    same = [n for n in chest_names() if source_of(n) == source_of(name)]
    if name in OTHER_CHESTS:
        same = list(OTHER_CHESTS)
    return same.index(name) % FOLDS


def held_out(fold: int) -> list[str]:
    """The chest volumes kept out of the training of ``fold``."""
    return [name for name in chest_names() if fold_of(name) == fold]


def _canonical(path: Path) -> tuple[npt.NDArray[np.float64], tuple[float, float, float]]:
    image = nib.load(path)
    now = orientations.io_orientation(image.affine)
    turned = image.as_reoriented(orientations.ornt_transform(now, orientations.axcodes2ornt(("L", "P", "S"))))
    di, dj, dk = (float(z) for z in turned.header.get_zooms()[:3])
    return np.asarray(turned.dataobj).transpose(2, 1, 0), (dk, dj, di)


def _path(name: str, suffix: str = "") -> Path:
    folder = "ct_covid" if (data_folder() / "ct_covid" / f"{name}.nii.gz").exists() else "ct_other"
    return data_folder() / folder / f"{name}{suffix}.nii.gz"


def load_hu(name: str) -> tuple[Hu, tuple[float, float, float]]:
    """Voxels (HU, canonical) and spacing (mm) of any volume, chest or not."""
    if name == DICOM_CHEST:
        return load_series(data_folder() / "dicom" / DICOM_CHEST)
    values, spacing = _canonical(_path(name))
    return np.ascontiguousarray(np.clip(values, -1024, 3071).astype(np.int16)), spacing


def load_series(folder: Path) -> tuple[Hu, tuple[float, float, float]]:
    """A supine, head-first axial DICOM series of one spacing as a canonical volume."""
    slices = [pydicom.dcmread(path) for path in folder.iterdir() if path.suffix == ".dcm"]
    slices.sort(key=lambda s: float(s.ImagePositionPatient[2]))
    if [round(float(v)) for v in slices[0].ImageOrientationPatient] != [1, 0, 0, 0, 1, 0]:
        raise ValueError(f"{folder} is not an axial series with rows to posterior")
    step = float(slices[1].ImagePositionPatient[2]) - float(slices[0].ImagePositionPatient[2])
    rows, columns = (float(v) for v in slices[0].PixelSpacing)
    values = [s.pixel_array * float(s.RescaleSlope) + float(s.RescaleIntercept) for s in slices]
    return np.clip(np.stack(values), -1024, 3071).astype(np.int16), (step, rows, columns)


def load_volume(name: str) -> Volume:
    """A chest volume with its masks; derived lungs are cached."""
    hu, spacing = load_hu(name)
    covid = name in covid_names()
    lesion = np.zeros(hu.shape, dtype=np.bool_)
    if covid:
        lesion = np.ascontiguousarray(_canonical(_path(name, "_lesion"))[0] > 0)
    expert = name != DICOM_CHEST and _path(name, "_lungmask").exists()
    if expert:
        lung = np.ascontiguousarray(_canonical(_path(name, "_lungmask"))[0] > 0)
    else:
        lung = _cached_lungs(name, hu, spacing, lesion)
    return Volume(name, source_of(name), hu, spacing, lesion, lung, covid, expert)


def _cached_lungs(name: str, hu: Hu, spacing: tuple[float, float, float], lesion: Mask) -> Mask:
    cache = runs_folder("ct-cache") / f"{name}-lungs.npz"
    if not cache.exists():
        lungs = derive_lungs(hu, spacing, lesion)
        np.savez_compressed(cache, lungs=np.packbits(lungs))
    with np.load(cache) as stored:
        return np.unpackbits(stored["lungs"], count=hu.size).reshape(hu.shape).astype(np.bool_)


@dataclass(frozen=True)
class Slice:
    """One axial slice: ``hu`` and a mask of the same shape."""

    name: str
    hu: npt.NDArray[np.float32]
    mask: Mask


def medseg_slices() -> list[Slice]:
    """The 50 MedSeg slices with lesion masks: grey values of a lung window brought back to about HU.

    They are stored turned by 90 degrees and cropped to the lungs; which side is left is not known.
    """
    folder = data_folder() / "ct_slices" / "medseg_lesion"
    found = []
    for path in sorted((folder / "images").glob("*.jpg")):
        grey = np.asarray(Image.open(path).convert("L"), dtype=np.float32).T
        mask = np.asarray(Image.open(folder / "lesion" / f"{path.stem}.png").convert("L")).T > 127
        found.append(Slice(f"medseg_{path.stem}", grey * np.float32(5.2) - 1030, mask))
    return found


def lung_slices() -> list[Slice]:
    """The 22 slices of LungSegDB with lung masks: grey values brought back to about HU.

    Their window cuts everything below about -600 HU; the air around the body is as black as lung.
    """
    folder = data_folder() / "ct_slices" / "lung"
    found = []
    for path in sorted((folder / "images").glob("*.png")):
        grey = np.asarray(Image.open(path).convert("L"), dtype=np.float32)
        mask = np.asarray(Image.open(folder / "lung" / path.name).convert("L")) > 127
        hu = np.where(grey <= 4, np.float32(-850), (grey - 107) * np.float32(6))
        found.append(Slice(path.stem, hu.astype(np.float32), mask))
    return found
