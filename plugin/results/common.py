"""What every result has in common: patient and study of the source, labels, dates, equipment.

Results are filed under the source's patient and study, so the identifiers (Patient ID, Study Instance
UID) are copied as they are; everything else is cleaned where the source breaks the rules of its value
representation (DICOM PS3.5 Section 6.2), because a result has to be valid whatever it was made from.
"""

from __future__ import annotations

import logging
import math
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from highdicom import ContributingEquipment
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.sr.codedict import codes
from pydicom.uid import UID, ExplicitVRLittleEndian

from plugin.results.identity import Identity
from plugin.results.texts import Texts

logger = logging.getLogger(__name__)

PRODUCT = "orthanc-chest-ai"
IMPLEMENTATION_UID = UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_DNS, PRODUCT).int}")

_COPIED = (
    ("PatientName", "PN"),
    ("IssuerOfPatientID", "LO"),
    ("PatientBirthDate", "DA"),
    ("PatientSex", "CS"),
    ("PatientAge", "AS"),
    ("PatientSize", "DS"),
    ("PatientWeight", "DS"),
    ("StudyDate", "DA"),
    ("StudyTime", "TM"),
    ("StudyID", "SH"),
    ("StudyDescription", "LO"),
    ("AccessionNumber", "SH"),
    ("ReferringPhysicianName", "PN"),
)
_REQUIRED_IF_UNKNOWN = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
_REFERENCED = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "Rows",
    "Columns",
    "PixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "FrameOfReferenceUID",
)
_NUMBERS = MappingProxyType({"sr": 9901, "pdf": 9902, "seg": 9903, "attention": 9904})
_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, NotImplementedError)


@dataclass(frozen=True, kw_only=True)
class SeriesLabel:
    """How a site wants its results labelled: descriptions, numbers, language and equipment.

    ``numbers`` gives the series number of each kind of result (``sr``, ``pdf``, ``seg``, ``attention``).
    """

    software_version: str
    description: str = "AI chest"
    numbers: Mapping[str, int] = field(default_factory=lambda: _NUMBERS)
    language: str = "en"
    manufacturer: str = PRODUCT
    model_name: str = PRODUCT
    device_serial: str = PRODUCT
    institution: str = ""

    @property
    def texts(self) -> Texts:
        """The texts in the site's language."""
        return Texts(self.language)

    def series_description(self, kind: str) -> str:
        """Series Description of a result (at most 64 characters); the warning is never what is cut."""
        tail = self.texts(f"series.{kind}")
        return f"{self.description[: 63 - len(tail)].strip()} {tail}"


def source_identity(header: Dataset) -> Dataset:
    """Patient and study attributes of a source header, cleaned, as every result carries them.

    Holds the type 2 attributes also where the source lacks them (empty). Text is kept as Unicode and
    is written as UTF-8 (Specific Character Set ISO_IR 192).
    """
    identity = Dataset()
    identity.SpecificCharacterSet = "ISO_IR 192"
    identity.StudyInstanceUID = header.StudyInstanceUID
    for keyword in _REQUIRED_IF_UNKNOWN:
        setattr(identity, keyword, "")
    identity.PatientID = _read(header, "PatientID")
    for keyword, vr in _COPIED:
        value = _cleaned(vr, _read(header, keyword))
        if keyword == "PatientSex" and value not in {"M", "F", "O"}:
            value = ""
        if value:
            setattr(identity, keyword, value)
    if _read(header, "PatientIdentityRemoved").upper() == "YES":
        identity.PatientIdentityRemoved = "YES"
        method = _cleaned("LO", _read(header, "DeidentificationMethod"))
        identity.DeidentificationMethod = method or "UNKNOWN"
    return identity


def reference_header(header: Dataset) -> Dataset:
    """A source instance as highdicom wants it: what it refers to, and the geometry that it reads.

    The patient is left empty: :func:`finish` fills it in, from one source and cleaned, once.
    """
    reference = Dataset()
    reference.SpecificCharacterSet = "ISO_IR 192"
    for keyword in _REQUIRED_IF_UNKNOWN:
        setattr(reference, keyword, "")
    for keyword in _REFERENCED:
        if keyword in header:
            reference[keyword] = header[keyword]
    thickness = _cleaned("DS", _read(header, "SliceThickness"))
    if thickness:
        reference.SliceThickness = thickness
    reference.file_meta = FileMetaDataset()
    reference.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return reference


def finish(result: Dataset, *, kind: str, source: Dataset, identity: Identity, label: SeriesLabel) -> Dataset:
    """Write into a result what all results share, over whatever its builder put there.

    Patient and study of the source, series labels, equipment, and the dates of ``identity.created``
    (so that the same reading gives the same bytes). Changes and returns ``result``.
    """
    for element in source_identity(source):
        result[element.tag] = element
    result.SeriesInstanceUID = identity.series_instance_uid(kind)
    result.SOPInstanceUID = identity.sop_instance_uid(kind)
    result.SeriesNumber = label.numbers[kind]
    result.InstanceNumber = 1
    result.SeriesDescription = label.series_description(kind)
    result.Manufacturer = label.manufacturer
    result.ManufacturerModelName = label.model_name
    result.SoftwareVersions = label.software_version
    result.DeviceSerialNumber = label.device_serial
    if label.institution:
        result.InstitutionName = _cleaned("LO", label.institution)
    date, time = identity.created.strftime("%Y%m%d"), identity.created.strftime("%H%M%S")
    result.InstanceCreationDate = result.SeriesDate = result.ContentDate = date
    result.InstanceCreationTime = result.SeriesTime = result.ContentTime = time
    result.ContributingEquipmentSequence = [_processing_equipment(label, identity.created)]
    result.file_meta.MediaStorageSOPInstanceUID = result.SOPInstanceUID
    result.file_meta.MediaStorageSOPClassUID = result.SOPClassUID
    result.file_meta.ImplementationClassUID = IMPLEMENTATION_UID
    result.file_meta.ImplementationVersionName = "CHESTAI"
    return result


def _processing_equipment(label: SeriesLabel, created: datetime) -> ContributingEquipment:
    return ContributingEquipment(
        manufacturer=label.manufacturer,
        purpose_of_reference=codes.DCM.ProcessingEquipment,
        manufacturer_model_name=label.model_name,
        software_versions=label.software_version,
        device_serial_number=label.device_serial,
        contribution_datetime=created.strftime("%Y%m%d%H%M%S"),
        contribution_description=label.texts("disclaimer"),
    )


def read_text(header: Dataset, keyword: str) -> str:
    """An attribute of a source header as plain text for display; empty where it cannot be read."""
    return " ".join(_read(header, keyword).split())


def _read(header: Dataset, keyword: str) -> str:
    """The attribute as text, values of a multi-valued one joined as DICOM does; empty if unreadable."""
    try:
        value = header.get(keyword)
    except _UNREADABLE as error:
        logger.warning("%s of the source cannot be read and is left out: %s", keyword, error)
        return ""
    if value is None:
        return ""
    if isinstance(value, MultiValue):
        return "\\".join(str(part) for part in value)
    return str(value).strip(" \0")


def _cleaned(vr: str, value: str) -> str:
    """The value in a form that its value representation allows, or empty where there is none."""
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


_CLEANERS: dict[str, Callable[[str], str]] = {
    "AS": lambda text: text if re.fullmatch(r"\d{3}[DWMY]", text) else "",
    "CS": lambda text: text.upper()[:16],
    "DA": _date,
    "DS": _positive_number,
    "LO": lambda text: _text(text, 64),
    "PN": _person_name,
    "SH": lambda text: _text(text, 16),
    "TM": _time,
}
