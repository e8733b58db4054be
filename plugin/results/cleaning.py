"""Values of source headers, cleaned where they break the rules of their value representation.

DICOM PS3.5 Section 6.2: a result has to be valid whatever it was made from.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable
from datetime import datetime

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from plugin.dicom.headers import UNREADABLE

logger = logging.getLogger(__name__)


def read(header: Dataset, keyword: str) -> str:
    """The attribute as text, several values joined as DICOM does; empty where it cannot be read."""
    try:
        value = header.get(keyword)
    except UNREADABLE:
        # Without pydicom's words: they may quote the value.
        logger.warning("%s of the source cannot be read and is left out", keyword)
        return ""
    if value is None:
        return ""
    if isinstance(value, MultiValue):
        return "\\".join(str(part) for part in value)
    return str(value).strip(" \0")


def cleaned(vr: str, value: str) -> str:
    """The value in a form that its value representation allows, or empty where there is none.

    ``vr`` is a value representation, or ``UTC`` for an offset from it.
    """
    text = "".join(c if c.isprintable() else " " for c in value).strip()
    return _CLEANERS[vr](text)


def _text(text: str, length: int) -> str:
    return text.replace("\\", " ")[:length].strip()


def _person_name(text: str) -> str:
    groups = text.replace("\\", " ").split("=")[:3]
    return "=".join("^".join(group.split("^")[:5])[:64] for group in groups)


def _date(text: str) -> str:
    digits = re.sub(r"[.\-/]", "", text)
    try:
        datetime.strptime(digits, "%Y%m%d")
    except ValueError:
        return ""
    return digits if len(digits) == 8 else ""


def _time(text: str) -> str:
    digits = text.replace(":", "")
    valid = re.fullmatch(r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?", digits)
    return digits if valid else ""


def _positive_number(text: str) -> str:
    try:
        number = float(text)
    except ValueError:
        return ""
    return f"{number:.6g}" if 0 < number < math.inf else ""


def _offset(text: str) -> str:
    """An offset from UTC between -12 and +14 hours (Timezone Offset From UTC, PS3.3 Section C.12.1.1.8)."""
    valid = re.fullmatch(r"([+-])(\d{2})([0-5]\d)", text)
    if valid is None:
        return ""
    minutes = 60 * int(valid[2]) + int(valid[3])
    return text if minutes <= (14 * 60 if valid[1] == "+" else 12 * 60) and text != "-0000" else ""


def _uid(text: str) -> str:
    return text if len(text) <= 64 and re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+", text) else ""


_CLEANERS: dict[str, Callable[[str], str]] = {
    "AS": lambda text: text if re.fullmatch(r"\d{3}[DWMY]", text) else "",
    "CS": lambda text: text.upper()[:16],
    "DA": _date,
    "DS": _positive_number,
    "LO": lambda text: _text(text, 64),
    "PN": _person_name,
    "SH": lambda text: _text(text, 16),
    "TM": _time,
    "UI": _uid,
    "UT": lambda text: text,
    "UTC": _offset,
}
