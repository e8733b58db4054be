"""What the source says of the request that it was made for, carried over where it is valid.

Issuer of Accession Number Sequence (DICOM PS3.3 Section C.7.2.1), Request Attributes Sequence (Section
10.6) and, for a Structured Report, the same as Referenced Request Sequence (Section C.17.2).
"""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.dataset import Dataset

from plugin.dicom import headers
from plugin.results.cleaning import cleaned, read

_ISSUER = "IssuerOfAccessionNumberSequence"
_REQUEST = (
    ("AccessionNumber", "SH"),
    ("StudyInstanceUID", "UI"),
    ("RequestedProcedureID", "SH"),
    ("RequestedProcedureDescription", "LO"),
    ("ReasonForTheRequestedProcedure", "LO"),
    ("ScheduledProcedureStepID", "SH"),
    ("ScheduledProcedureStepDescription", "LO"),
)
_CODES = ("RequestedProcedureCodeSequence", "ScheduledProtocolCodeSequence")
_UNIVERSAL_TYPES = {"DNS", "EUI64", "ISO", "URI", "UUID", "X400", "X500"}
_IN_REPORT = (
    "AccessionNumber",
    "PlacerOrderNumberImagingServiceRequest",
    "FillerOrderNumberImagingServiceRequest",
    "RequestedProcedureID",
    "RequestedProcedureDescription",
)


def issuer_of_accession_number(header: Dataset) -> Dataset | None:
    """Who gave the accession number, or None where the source does not validly say."""
    for item in headers.items(header, _ISSUER):
        issuer = Dataset()
        local = cleaned("UT", read(item, "LocalNamespaceEntityID"))
        universal = cleaned("UT", read(item, "UniversalEntityID"))
        kind = read(item, "UniversalEntityIDType").upper()
        if local:
            issuer.LocalNamespaceEntityID = local
        if universal and kind in _UNIVERSAL_TYPES:
            issuer.UniversalEntityID, issuer.UniversalEntityIDType = universal, kind
        if len(issuer):
            return issuer
    return None


def request_attributes(header: Dataset) -> list[Dataset]:
    """The requested procedures of the source, cleaned; without those that name none."""
    return list(_requests(header))


def _requests(header: Dataset) -> Iterator[Dataset]:
    for item in headers.items(header, "RequestAttributesSequence"):
        request = Dataset()
        for keyword, vr in _REQUEST:
            value = _whole(vr, read(item, keyword))
            if value:
                setattr(request, keyword, value)
        for keyword in _CODES:
            coded = [code for entry in headers.items(item, keyword) if (code := _code(entry)) is not None]
            if coded:
                setattr(request, keyword, coded)
        issuer = issuer_of_accession_number(item)
        if issuer is not None and "AccessionNumber" in request:
            request.IssuerOfAccessionNumberSequence = [issuer]
        if "RequestedProcedureID" in request or "ScheduledProcedureStepID" in request:
            yield request


def referenced_requests(header: Dataset) -> list[Dataset]:
    """The same as a Structured Report refers to them; every attribute of type 2 is there, if empty."""
    accession_number = cleaned("SH", read(header, "AccessionNumber"))
    referenced = []
    for request in request_attributes(header):
        item = Dataset()
        item.StudyInstanceUID = request.get("StudyInstanceUID") or header.StudyInstanceUID
        item.ReferencedStudySequence = []
        for keyword in _IN_REPORT:
            setattr(item, keyword, request.get(keyword, ""))
        item.AccessionNumber = item.AccessionNumber or accession_number
        item.RequestedProcedureCodeSequence = request.get("RequestedProcedureCodeSequence", [])
        if _ISSUER in request:
            item.IssuerOfAccessionNumberSequence = request.IssuerOfAccessionNumberSequence
        referenced.append(item)
    return referenced


def _code(entry: Dataset) -> Dataset | None:
    code = Dataset()
    for keyword, vr in (("CodeValue", "SH"), ("CodingSchemeDesignator", "SH"), ("CodeMeaning", "LO")):
        value = _whole(vr, read(entry, keyword))
        if not value:
            return None
        setattr(code, keyword, value)
    return code


def _whole(vr: str, value: str) -> str:
    """The value where its representation allows it as it is long: an identifier that is cut is another."""
    shown = cleaned(vr, value)
    return shown if len(shown) == len(value.strip()) else ""
