"""The attention map of an X-ray: RGB Secondary Capture of the picture with the map over it.

DICOM PS3.3 Section A.8.1. Every viewer shows it.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
from highdicom.sc import SCImage
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from plugin.dicom.imaging import XrayImage
from plugin.domain.findings import Findings
from plugin.results import pictures as pic
from plugin.results.common import SeriesLabel, finish, read_text, source_identity
from plugin.results.identity import Identity
from plugin.results.summary import opinion
from plugin.results.texts import Texts

LONGEST_SIDE = 1280
"""Pixels of the longer side at most: the map is coarse, and the original is in the archive."""

_WAY = re.compile("[LRAPHF]{1,3}")
_AXES = ("LR", "PA", "HF")
_ALONG = 0.05
"""A direction runs along an axis from this cosine on."""

_FONT = Path(__file__).with_name("fonts") / "NotoSans-Regular.ttf"


def build_attention(
    *,
    image: XrayImage,
    attention: npt.NDArray[np.float32],
    findings: Findings,
    identity: Identity,
    label: SeriesLabel,
) -> Dataset:
    """The attention map over the picture as Secondary Capture.

    ``attention``: float32 (rows, columns) of the picture, in [0, 1], NaN where the network saw nothing.
    Raises ValueError where its shape is not that of the picture.
    """
    if attention.shape != image.pixels.shape:
        raise ValueError(f"attention of shape {attention.shape} for a picture of {image.pixels.shape}")
    source = image.source.header
    patient = source_identity(source)
    capture = SCImage(
        pixel_array=overlay(image, attention, findings, label.texts),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "F"),  # highdicom wants one; what is known of it is described below
        study_instance_uid=patient.StudyInstanceUID,
        series_instance_uid=identity.series_instance_uid("attention"),
        series_number=label.numbers["attention"],
        sop_instance_uid=identity.sop_instance_uid("attention"),
        instance_number=1,
        manufacturer=label.manufacturer,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    _describe(capture, source, label, identity)
    return finish(capture, kind="attention", source=source, identity=identity, label=label)


def overlay(
    image: XrayImage,
    attention: npt.NDArray[np.float32],
    findings: Findings,
    texts: Texts,
) -> npt.NDArray[np.uint8]:
    """The picture with the map over it and, below it, a strip with the class and the warning."""
    rows, columns = image.pixels.shape
    scale = min(1.0, LONGEST_SIDE / max(rows, columns))
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    picture = pic.heat_over(pic.resized_float(image.pixels, *size), pic.resized_float(attention, *size))
    return np.concatenate([picture, _strip(size[0], findings, texts)])


def _strip(width: int, findings: Findings, texts: Texts) -> npt.NDArray[np.uint8]:
    lines = [*(opinion(said, texts) for said in findings.classifications), texts("disclaimer")]
    font = _fitting_font(lines, width)
    line_height = round(font.size * 1.45)
    strip = Image.new("RGB", (width, line_height * len(lines) + line_height // 2), (0, 0, 0))
    draw = ImageDraw.Draw(strip)
    for number, line in enumerate(lines):
        colour = (255, 214, 102) if line == texts("disclaimer") else (255, 255, 255)
        place = (font.size * 0.6, line_height * (number + 0.1))
        draw.text(place, line, font=font, fill=colour)
    return np.asarray(strip, np.uint8)


def _fitting_font(lines: list[str], width: int) -> ImageFont.FreeTypeFont:
    """The largest type, up to a fortieth of the width, in which every line fits."""
    size = max(8, width // 40)
    font = ImageFont.truetype(_FONT, size)
    longest = max(font.getlength(line) for line in lines)
    room = width - 1.2 * size
    return font if longest <= room else ImageFont.truetype(_FONT, max(6, int(size * room / longest)))


def _describe(
    capture: Dataset,
    source: Dataset,
    label: SeriesLabel,
    identity: Identity,
) -> None:
    """What the image modules say of this picture: derived from that one, with text burnt in."""
    capture.ConversionType = "WSD"
    capture.ImageType = ["DERIVED", "SECONDARY"]
    capture.BurnedInAnnotation = "YES"
    capture.DerivationDescription = label.texts("series.attention")
    reference = Dataset()
    reference.ReferencedSOPClassUID = source.SOPClassUID
    reference.ReferencedSOPInstanceUID = source.SOPInstanceUID
    capture.SourceImageSequence = [reference]
    # The chest is no paired structure: said, there is no laterality to give (type 2C).
    capture.BodyPartExamined = "CHEST"
    capture.PatientOrientation = _patient_orientation(source)
    capture.DateOfSecondaryCapture = identity.created.strftime("%Y%m%d")
    capture.TimeOfSecondaryCapture = identity.created.strftime("%H%M%S")
    if "LossyImageCompression" in source:
        capture.LossyImageCompression = source.LossyImageCompression


def _patient_orientation(source: Dataset) -> list[str]:
    """Where the rows and the columns run to, as the source says or as its geometry has it (PS3.3 Section
    C.7.6.1.1.1); empty where neither tells (type 2C)."""
    said = read_text(source, "PatientOrientation").split("\\")
    if len(said) == 2 and all(_WAY.fullmatch(way) for way in said):
        return said
    try:
        cosines = np.array(read_text(source, "ImageOrientationPatient").split("\\"), np.float64)
    except ValueError:
        return []
    if cosines.size != 6 or not np.isfinite(cosines).all():
        return []
    ways = [_way(cosines[:3]), _way(cosines[3:])]
    return ways if all(ways) else []


def _way(direction: npt.NDArray[np.float64]) -> str:
    """A direction in patient coordinates as letters, the nearest axis first."""
    letters = [pair[int(value < 0)] for pair, value in zip(_AXES, direction, strict=True)]
    order = np.argsort(-np.abs(direction), kind="stable")
    return "".join(letters[axis] for axis in order if abs(direction[axis]) > _ALONG)
