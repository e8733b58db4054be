"""What every result has in common: patient and study of the source, labels, dates, equipment.

Results are filed under the source's patient and study, so the identifiers (Patient ID, Study Instance
UID) are copied as they are; everything else is cleaned where the source breaks the rules of its value
representation (DICOM PS3.5 Section 6.2), because a result has to be valid whatever it was made from.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from types import MappingProxyType

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from plugin.domain.findings import Algorithm
from plugin.results import provenance
from plugin.results.cleaning import cleaned, read
from plugin.results.identity import Identity
from plugin.results.request import issuer_of_accession_number, request_attributes
from plugin.results.texts import Texts

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
_NUMBERS = MappingProxyType({"sr": 9901, "pdf": 9902, "seg": 9903, "attention": 9904, "key_images": 9905})
_DOCUMENTS = {"SR", "KO"}


@dataclass(frozen=True, kw_only=True)
class SeriesLabel:
    """How a site wants its results labelled: descriptions, numbers, language and equipment.

    ``numbers`` gives the series number of each kind of result (``plugin.domain.kinds.ResultKind``).
    ``device_serial`` tells this installation from every other.
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

    @property
    def device_uid(self) -> str:
        """Device UID of this installation of the software in this version."""
        return provenance.device_uid(
            self.manufacturer, self.model_name, self.software_version, self.device_serial
        )


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
    identity.PatientID = read(header, "PatientID")
    for keyword, vr in _COPIED:
        value = cleaned(vr, read(header, keyword))
        if keyword == "PatientSex" and value not in {"M", "F", "O"}:
            value = ""
        if value:
            setattr(identity, keyword, value)
    if read(header, "PatientIdentityRemoved").upper() == "YES":
        identity.PatientIdentityRemoved = "YES"
        method = cleaned("LO", read(header, "DeidentificationMethod"))
        identity.DeidentificationMethod = method or "UNKNOWN"
    offset = cleaned("UTC", read(header, "TimezoneOffsetFromUTC"))
    if offset:
        identity.TimezoneOffsetFromUTC = offset
    issuer = issuer_of_accession_number(header)
    if issuer is not None and identity.AccessionNumber:
        identity.IssuerOfAccessionNumberSequence = [issuer]
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
    thickness = cleaned("DS", read(header, "SliceThickness"))
    if thickness:
        reference.SliceThickness = thickness
    reference.file_meta = FileMetaDataset()
    reference.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return reference


def finish(
    result: Dataset,
    *,
    kind: str,
    source: Dataset,
    identity: Identity,
    label: SeriesLabel,
    algorithms: Sequence[Algorithm],
) -> Dataset:
    """Write into a result what all results share, over whatever its builder put there.

    Patient, study and request of the source, series labels, equipment with the ``algorithms`` that the
    result rests on, and the dates of ``identity.created`` (so that the same reading gives the same bytes).
    Changes and returns ``result``.
    """
    patient = source_identity(source)
    for element in patient:
        result[element.tag] = element
    result.SeriesInstanceUID = identity.series_instance_uid(kind)
    result.SOPInstanceUID = identity.sop_instance_uid(kind)
    result.SeriesNumber = label.numbers[kind]
    result.InstanceNumber = 1
    result.SeriesDescription = label.series_description(kind)
    requests = request_attributes(source)
    if requests and result.Modality not in _DOCUMENTS:  # these refer to them in a sequence of their own
        result.RequestAttributesSequence = requests
    moment = date_in(result, identity.created, patient)
    _equip(result, label, algorithms, moment)
    name_file(result)
    return result


def date_in(result: Dataset, created: datetime, patient: Dataset) -> datetime:
    """Date a result in the time zone that ``patient`` names, where it does; the moment there."""
    moment = _local(created, patient.get("TimezoneOffsetFromUTC"))
    date, time = moment.strftime("%Y%m%d"), moment.strftime("%H%M%S")
    result.InstanceCreationDate = result.SeriesDate = result.ContentDate = date
    result.InstanceCreationTime = result.SeriesTime = result.ContentTime = time
    return moment


def name_file(result: Dataset) -> None:
    """Let the file's own header say what it holds and what wrote it."""
    result.file_meta.MediaStorageSOPInstanceUID = result.SOPInstanceUID
    result.file_meta.MediaStorageSOPClassUID = result.SOPClassUID
    result.file_meta.ImplementationClassUID = IMPLEMENTATION_UID
    result.file_meta.ImplementationVersionName = "CHESTAI"


def _equip(result: Dataset, label: SeriesLabel, algorithms: Sequence[Algorithm], moment: datetime) -> None:
    result.Manufacturer = label.manufacturer
    result.ManufacturerModelName = label.model_name
    result.SoftwareVersions = label.software_version
    result.DeviceSerialNumber = label.device_serial
    result.DeviceUID = label.device_uid
    if label.institution:
        result.InstitutionName = cleaned("LO", label.institution)
    result.ContributingEquipmentSequence = provenance.equipment(
        manufacturer=label.manufacturer,
        model_name=label.model_name,
        software_version=label.software_version,
        device_serial=label.device_serial,
        warning=label.texts("disclaimer"),
        algorithms=algorithms,
        moment=moment,
    )


def _local(moment: datetime, offset: str | None) -> datetime:
    """The moment in the source's time zone, which a result that names it keeps all its times in."""
    if not offset or moment.tzinfo is None:
        return moment
    away = timedelta(hours=int(offset[1:3]), minutes=int(offset[3:5]))
    return moment.astimezone(timezone(-away if offset[0] == "-" else away))


def read_text(header: Dataset, keyword: str) -> str:
    """An attribute of a source header as plain text for display; empty where it cannot be read."""
    return " ".join(read(header, keyword).split())
