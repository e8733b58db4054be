"""The head of the page: whose images, of which study and series, and the warning."""

from __future__ import annotations

from pydicom.dataset import Dataset

from plugin.results.common import SeriesLabel, read_text, source_identity
from plugin.results.pdf.page import ACCENT, AMBER, LEFT, QUIET, RIGHT, TOP, WARNING, WIDTH, Page
from plugin.results.texts import Texts

_SEXES = {"M", "F", "O"}
_PATIENT, _STUDY = 112.0, 68.0
"""Widths in mm of what stands on the left and on the right."""


def header(page: Page, source: Dataset, modality: str, label: SeriesLabel) -> float:
    """Patient and series on the left, study on the right, the warning below; returns y below."""
    texts, patient = label.texts, source_identity(source)
    page.put(LEFT, TOP, texts(f"pdf.title.{modality}"), size=9, bold=True, colour=ACCENT)
    page.put(LEFT, TOP, label.institution, size=9, colour=QUIET, align="R")
    _name(page, person(str(patient.PatientName)) or texts("pdf.unnamed"))
    page.put(LEFT, TOP + 13.2, _about_patient(patient, texts), size=8.5, colour=QUIET, width=_PATIENT)
    page.put(LEFT, TOP + 17.6, _about_series(source, texts), size=8.5, colour=QUIET, width=_PATIENT)
    study = read_text(patient, "StudyDescription")
    when = " ".join(filter(None, (_day(patient.StudyDate), _clock(patient.StudyTime))))
    x = RIGHT - _STUDY
    page.put(x, TOP + 6, when or texts("pdf.undated"), size=10.5, width=_STUDY, align="R")
    accession = texts("pdf.accession", number=patient.AccessionNumber) if patient.AccessionNumber else ""
    page.put(x, TOP + 13.2, study, size=8.5, colour=QUIET, width=_STUDY, align="R")
    page.put(x, TOP + 17.6, accession, size=8.5, colour=QUIET, width=_STUDY, align="R")
    y = TOP + 23.9
    page.box(LEFT, y, WIDTH, 6, AMBER)
    page.put(LEFT + 2, y + 1.2, texts("disclaimer"), size=8, bold=True, colour=WARNING, width=WIDTH - 4)
    return y + 9.5


def _name(page: Page, name: str) -> None:
    """The patient's name, the longer the smaller, at last in two lines."""
    for size in (15.0, 10.5):
        if page.fits(name, size=size, width=_PATIENT):
            page.put(LEFT, TOP + 5.5 + (15 - size) * 0.25, name, size=size, bold=True, width=_PATIENT)
            return
    page.paragraph(LEFT, TOP + 4.8, name, size=8.5, bold=True, width=_PATIENT, lines=2)


def _about_patient(patient: Dataset, texts: Texts) -> str:
    parts = [texts("pdf.patient_id", number=patient.PatientID)] if patient.PatientID else []
    if patient.PatientBirthDate:
        parts.append(texts("pdf.born", day=_day(patient.PatientBirthDate)))
    if patient.PatientSex in _SEXES:
        parts.append(texts(f"pdf.sex.{patient.PatientSex}"))
    return " · ".join(parts)


def _about_series(source: Dataset, texts: Texts) -> str:
    """Number and description of the series that was read, its slices' thickness and its kernel."""
    number = read_text(source, "SeriesNumber")
    parts = [texts("pdf.source", number=number) if number else texts("pdf.source_unnumbered")]
    parts.append(read_text(source, "SeriesDescription"))
    thickness = read_text(source, "SliceThickness")
    if thickness:
        parts.append(texts("pdf.thickness", value=_decimal(thickness, texts)))
    kernel = read_text(source, "ConvolutionKernel").replace("\\", " ")
    if kernel:
        parts.append(texts("pdf.kernel", name=kernel))
    return " · ".join(filter(None, parts))


def _decimal(value: str, texts: Texts) -> str:
    """A number as a header has it, with the language's decimal sign; text that is none as it is."""
    try:
        number = float(value)
    except ValueError:
        return value
    digits = next((d for d in (0, 1, 2) if abs(number - round(number, d)) < 0.005), 2)
    return texts.number(number, digits)


def person(name: str) -> str:
    """A DICOM person name as one reads it: "Family, Given Middle", the scripts one after the other."""
    groups = []
    for group in name.split("="):
        family, _, given = group.partition("^")
        rest = " ".join(given.replace("^", " ").split())
        groups.append(", ".join(part for part in (family.strip(), rest) if part))
    return "  ".join(group for group in groups if group)


def _day(value: str) -> str:
    text = str(value)
    return f"{text[:4]}-{text[4:6]}-{text[6:8]}" if len(text) == 8 else text


def _clock(value: str) -> str:
    text = str(value)
    return f"{text[:2]}:{text[2:4]}" if len(text) >= 4 else ""
