"""The series of the gallery: the phantom as it is, and what is made of it by changing headers and slices."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from demo.phantom import anatomy
from demo.phantom.files import write_ct, write_xray
from plugin.domain.kinds import Modality

SEED = 7
PATCHES = anatomy._opacities

Series = list[Dataset]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One kind of result. ``score``: a score that is given because no network gives it to any phantom;
    ``unmarked``: the outlines of opacities are taken away, as the network marks some in every phantom.
    Otherwise all is the networks' own. ``before``: the case that is an earlier study of the same
    person; ``replaces``: the case whose report this one supersedes."""

    name: str
    title: str
    modality: Modality
    series: Callable[[Path], Series]
    score: float | None = None
    unmarked: bool = False
    before: str = ""
    replaces: str = ""
    language: str = "en"


def film(folder: Path) -> Series:
    """The phantom's X-ray."""
    return _written(folder / "xray", lambda place: write_xray(place, SEED))


def lateral(folder: Path) -> Series:
    """The same film, said to be a lateral view."""
    series = film(folder)
    series[0].ViewPosition = "LL"
    del series[0].ViewCodeSequence
    return series


def upside_down(folder: Path) -> Series:
    """The same film, upside down."""
    series = film(folder)
    series[0].PixelData = series[0].pixel_array[::-1].tobytes()
    return series


def chest(folder: Path) -> Series:
    """The phantom's CT, with opacities on both sides."""
    return _written(folder / "ct", lambda place: write_ct(place, SEED))


def clear_chest(folder: Path) -> Series:
    """The CT of the same patient without opacities."""
    with patch.object(anatomy, "_opacities", lambda _rng: []):
        return _written(folder / "clear", lambda place: write_ct(place, SEED))


def one_sided_chest(folder: Path) -> Series:
    """The CT with the opacities of the right lung only, a month later."""
    with patch.object(anatomy, "_opacities", lambda rng: [p for p in PATCHES(rng) if p[0] < 0]):
        series = _written(folder / "right", lambda place: write_ct(place, SEED))
    study, whole = generate_uid(), generate_uid()
    for image in series:
        image.StudyInstanceUID, image.SeriesInstanceUID, image.StudyDate = study, whole, "20240216"
    return series


def thin_chest(folder: Path) -> Series:
    """Slices of 1.25 mm: between every two the mean of both."""
    series = chest(folder)
    thin = []
    for image, above in zip(series, [*series[1:], None], strict=True):
        thin.append(image)
        if above is not None:
            between = deepcopy(image)
            mean = (image.pixel_array.astype(np.uint32) + above.pixel_array) // 2
            between.PixelData = mean.astype("<u2").tobytes()
            between.ImagePositionPatient[2] += 1.25
            between.SOPInstanceUID = between.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            thin.append(between)
    for number, image in enumerate(thin, start=1):
        image.InstanceNumber, image.SliceThickness, image.ConvolutionKernel = number, 1.25, "LUNG"
        image.SeriesDescription = "SYNTHETIC chest 1.25 mm"
    return thin


def cut_chest(folder: Path) -> Series:
    """The images end above the bases of the lungs."""
    return chest(folder)[22:]


def tilted_chest(folder: Path) -> Series:
    """A gantry tilted by 8 degrees, the table level: a sheared stack."""
    return _turned(chest(folder), 8.0, sheared=True)


def oblique_chest(folder: Path) -> Series:
    """A regular stack, turned by 1 degree as a whole."""
    return _turned(chest(folder), 1.0, sheared=False)


def _turned(series: Series, degrees: float, *, sheared: bool) -> Series:
    angle = np.radians(degrees)
    across = np.array([0, np.cos(angle), np.sin(angle)])
    normal = np.array([0, -np.sin(angle), np.cos(angle)])
    first = np.array(series[0].ImagePositionPatient, float)
    for image in series:
        height = float(image.ImagePositionPatient[2]) - first[2]
        step = np.array([0, 0, height]) if sheared else height * normal
        image.ImageOrientationPatient = [1, 0, 0, *(round(float(v), 8) for v in across)]
        image.ImagePositionPatient = [round(float(v), 6) for v in first + step]
    return series


def _written(folder: Path, write: Callable[[Path], int]) -> Series:
    """The files of a folder, made where it is empty, from foot to head."""
    if not folder.exists():
        write(folder)
    return [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]


XRAY, CT = Modality.XRAY, Modality.CT
CASES: Sequence[Case] = (
    Case(name="xray-negative", title="X-ray, negative", modality=XRAY, series=film, score=0.12),
    Case(name="xray-positive", title="X-ray, positive", modality=XRAY, series=film),
    Case(name="xray-borderline", title="X-ray, borderline", modality=XRAY, series=film, score=0.5391),
    Case(name="xray-lateral", title="X-ray, rejected by a rule", modality=XRAY, series=lateral),
    Case(name="xray-upside-down", title="X-ray, rejected by the network", modality=XRAY, series=upside_down),
    Case(name="ct-with", title="CT with opacities", modality=CT, series=chest),
    Case(name="ct-disagreed", title="CT, neither classifier agrees", modality=CT, series=chest, score=0.1),
    Case(
        name="ct-without",
        title="CT without opacities",
        modality=CT,
        series=clear_chest,
        unmarked=True,
    ),
    Case(
        name="ct-falsely-marked",
        title="CT of the phantom without opacities, where the network marks some",
        modality=CT,
        series=clear_chest,
    ),
    Case(name="ct-one-sided", title="CT, opacities on one side", modality=CT, series=one_sided_chest),
    Case(name="ct-cut", title="CT, bases cut", modality=CT, series=cut_chest),
    Case(name="ct-tilted", title="CT, gantry tilted by 8 degrees", modality=CT, series=tilted_chest),
    Case(name="ct-oblique", title="CT, oblique by 1 degree", modality=CT, series=oblique_chest),
    Case(
        name="ct-follow-up",
        title="CT, a month after the one with opacities",
        modality=CT,
        series=one_sided_chest,
        before="ct-with",
        language="pt",
    ),
    Case(name="ct-grown", title="CT, grown since it was read", modality=CT, series=chest, replaces="ct-cut"),
    Case(name="ct-thin", title="CT, thin slices", modality=CT, series=thin_chest),
)


class InMemory:
    """A series as a source of instances."""

    def __init__(self, series: Series) -> None:
        self._files = dict(self._written(series))
        self.instance_ids = list(self._files)

    def read(self, instance_id: str) -> bytes:
        """The DICOM file of one instance."""
        return self._files[instance_id]

    @staticmethod
    def _written(series: Series) -> Iterator[tuple[str, bytes]]:
        for image in series:
            buffer = io.BytesIO()
            image.save_as(buffer, enforce_file_format=True)
            yield str(image.SOPInstanceUID), buffer.getvalue()
