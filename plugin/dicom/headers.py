"""Attributes of a DICOM header. A broken value counts as missing.

What devices write is often not what the standard asks. The rules and the geometry only ever see clean
text and finite numbers from here; a value that cannot be read counts as missing (and is logged once).
"""

from __future__ import annotations

import logging
import math
import struct
from datetime import date

from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.sequence import Sequence as DicomSequence

log = logging.getLogger(__name__)

UNREADABLE = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    NotImplementedError,
    OverflowError,
    EOFError,
    struct.error,
    BytesLengthException,
)
"""What pydicom raises for an element that breaks its value representation."""


def texts(header: Dataset, keyword: str) -> tuple[str, ...]:
    """The values of an attribute as upper-case text without padding; empty where missing."""
    return tuple(str(value).strip(" \0").upper() for value in _values(header, keyword))


def text(header: Dataset, keyword: str) -> str:
    """The first value of an attribute as upper-case text; empty where missing."""
    return next(iter(texts(header, keyword)), "")


def numbers(header: Dataset, keyword: str) -> tuple[float, ...]:
    """The values of an attribute as numbers; empty where any of them is not a finite number."""
    found = []
    for value in _values(header, keyword):
        try:
            number_ = float(str(value))
        except ValueError:
            return ()
        if not math.isfinite(number_):
            return ()
        found.append(number_)
    return tuple(found)


def number(header: Dataset, keyword: str) -> float | None:
    """The first value of an attribute as a number; None where missing or not a finite number."""
    return next(iter(numbers(header, keyword)), None)


def items(header: Dataset, keyword: str) -> tuple[Dataset, ...]:
    """The items of a sequence; empty where missing."""
    try:
        value = header.get(keyword)
    except UNREADABLE:
        _say_unreadable(keyword)
        return ()
    return tuple(value) if isinstance(value, DicomSequence) else ()


def age_years(header: Dataset) -> float | None:
    """The patient's age in years, from Patient's Age (PS3.5 AS) or birth and study date."""
    age = text(header, "PatientAge")
    per_year = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}
    if len(age) == 4 and age[:3].isdigit() and age[3] in per_year:
        return int(age[:3]) / per_year[age[3]]
    born, studied = _date(header, "PatientBirthDate"), _date(header, "StudyDate")
    if born is None or studied is None or studied < born:
        return None
    return (studied - born).days / 365.25


def _date(header: Dataset, keyword: str) -> date | None:
    try:
        return date.fromisoformat(text(header, keyword))
    except ValueError:
        return None


def _say_unreadable(keyword: str) -> None:
    """Without pydicom's words: they may quote the value, which may be the patient's."""
    log.warning("%s cannot be read and counts as missing", keyword)


def _values(header: Dataset, keyword: str) -> tuple[object, ...]:
    try:
        value = header.get(keyword)
    except UNREADABLE:
        _say_unreadable(keyword)
        return ()
    if value is None or isinstance(value, DicomSequence):
        return ()
    several = not isinstance(value, str | bytes | int | float) and hasattr(value, "__iter__")
    values = tuple(value) if several else (value,)
    return tuple(v for v in values if v is not None and str(v).strip(" \0") != "")
