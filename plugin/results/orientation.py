"""Which side of the patient is at which edge of a picture."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from plugin.results.common import read_text

_WAY = re.compile("[LRAPHF]{1,3}")
_AXES = ("LR", "PA", "HF")
_ALONG = 0.05
"""A direction runs along an axis from this cosine on."""

_OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "H": "F", "F": "H"}


def patient_orientation(source: Dataset) -> list[str]:
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


def left_and_right(source: Dataset) -> tuple[str, str]:
    """The patient's side (``L``, ``R``, ``A``, ``P``, ``H`` or ``F``) at the left and the right edge of a
    picture; two empty strings where the source does not tell."""
    ways = patient_orientation(source)
    if not ways:
        return "", ""
    right = ways[0][0]
    return _OPPOSITE[right], right


def _way(direction: npt.NDArray[np.float64]) -> str:
    """A direction in patient coordinates as letters, the nearest axis first."""
    letters = [pair[int(value < 0)] for pair, value in zip(_AXES, direction, strict=True)]
    order = np.argsort(-np.abs(direction), kind="stable")
    return "".join(letters[axis] for axis in order if abs(direction[axis]) > _ALONG)
