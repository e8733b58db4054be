"""What is read from one DICOM file: its header, a CT slice in HU, a film for display.

Called in the helper's process (:mod:`plugin.dicom.helper`), under its limits of memory and time.
"""

from __future__ import annotations

import io
import logging
import pickle

import numpy as np
import numpy.typing as npt
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag
from pydicom.uid import UID

from plugin.dicom import display, headers, pixels
from plugin.domain.errors import TooLarge, UnreadableInstance

log = logging.getLogger(__name__)

MAX_ELEMENT_BYTES = 16 << 10
MAX_HEADER_BYTES = 256 << 10
"""What is kept of a header: as a rule 20 to 50 KiB."""

_KEPT_GROUPS = frozenset({0x0008, 0x0010, 0x0012, 0x0018, 0x0020, 0x0028, 0x0032, 0x0040, 0x0054})
"""Patient, study, series, image, acquisition, request; not private groups, curves, overlays, pixels."""

_PIXELS = 0x7FE0
_IDENTIFIERS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


def header_of(data: bytes) -> tuple[Dataset, bool, int]:
    """The header of a file with its file meta, whether there are pixels, the header's size in bytes.

    Kept are the standard groups that name patient, study, series and image, without elements over
    16 KiB; an element that breaks its value representation counts as missing. Raises
    UnreadableInstance for what is not DICOM or does not say which object it is, TooLarge where what is
    kept is over 256 KiB.
    """
    stopped_at: list[int] = []

    def at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        if tag.group >= _PIXELS:
            stopped_at.append(tag.group)
        return bool(stopped_at)

    try:
        dataset = read_partial(io.BytesIO(data), stop_when=at_pixels, defer_size=MAX_ELEMENT_BYTES)
    except MemoryError:
        raise
    except Exception as error:
        raise _not_dicom(error) from error
    header = Dataset()
    header.file_meta = dataset.file_meta
    size = 0
    for tag in (tag for tag in list(dataset.keys()) if tag.group in _KEPT_GROUPS):
        raw = dataset.get_item(tag, keep_deferred=True)
        if raw is not None and raw.value is None and getattr(raw, "length", 0) > MAX_ELEMENT_BYTES:
            continue
        try:
            element = dataset[tag]
            bytes_of_element = len(pickle.dumps(element))
        except (*headers.UNREADABLE, RecursionError) as error:
            log.warning("element %s cannot be read and counts as missing: %s", tag, type(error).__name__)
            continue
        if bytes_of_element > 4 * MAX_ELEMENT_BYTES:
            continue
        size += bytes_of_element
        if size > MAX_HEADER_BYTES:
            raise TooLarge(f"the header has more than {MAX_HEADER_BYTES >> 10} KiB of attributes")
        header[tag] = element
    for keyword in _IDENTIFIERS:
        if not UID(headers.text(header, keyword)).is_valid:
            raise UnreadableInstance(f"the file has no valid {keyword}: no result could refer to it")
    return header, stopped_at == [_PIXELS], size


def slice_of(data: bytes, *, max_pixels: int) -> tuple[npt.NDArray[np.int16], int, int]:
    """A CT slice as stored, int16 HU (rows, columns), with the least and the greatest outside padding.

    Raises ImagingError where the pixels cannot be read or are more than ``max_pixels``.
    """
    dataset = _parse(data)
    return pixels.hounsfield(dataset, pixels.stored_values(dataset, max_pixels=max_pixels))


def film_of(data: bytes, *, max_pixels: int) -> npt.NDArray[np.float32]:
    """A radiograph for display (see ``plugin.dicom.display.display_values``).

    Raises ImagingError where the pixels cannot be read or are more than ``max_pixels``.
    """
    dataset = _parse(data)
    return display.display_values(dataset, pixels.stored_values(dataset, max_pixels=max_pixels))


def _parse(data: bytes) -> Dataset:
    try:
        return dcmread(io.BytesIO(data))
    except MemoryError:
        raise
    except Exception as error:
        raise _not_dicom(error) from error


def _not_dicom(error: Exception) -> UnreadableInstance:
    # Without pydicom's words: they may quote a value, which may be the patient's.
    log.warning("a file is not read as DICOM: %s", type(error).__name__)
    return UnreadableInstance("the file cannot be read as DICOM: it is damaged, cut short or something else")
