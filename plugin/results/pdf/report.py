"""The report as Encapsulated PDF: one page a reader takes in within ten seconds.

DICOM PS3.3 Section A.45.1. The page itself is set by ``head``, ``answer``, ``assessed``, ``ct``, ``xray``
and ``foot``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian

from plugin.dicom.imaging import Instance
from plugin.domain.assessment import Assessment
from plugin.domain.findings import Findings
from plugin.domain.kinds import Modality
from plugin.results.beside import sentences
from plugin.results.common import SeriesLabel, finish, source_identity
from plugin.results.identity import Identity
from plugin.results.pdf import answer, assessed, ct, foot, head, volumes, xray
from plugin.results.pdf.material import CtMaterial
from plugin.results.pdf.page import LEFT, WIDTH, Area, Page
from plugin.results.pdf.xray import XrayMaterial
from plugin.results.statement import cut
from plugin.results.summary import Earlier, margin, narrative

_TITLE = CodedConcept("126000", "DCM", "Imaging Measurement Report")

_LEAST_BODY = volumes.HEIGHT
"""Room in mm that the remarks leave to what is measured or shown."""


def build_pdf(
    *,
    findings: Findings,
    sources: Sequence[Instance],
    identity: Identity,
    label: SeriesLabel,
    material: CtMaterial | XrayMaterial | None = None,
    history: Sequence[Earlier] = (),
    assessment: Assessment | None = None,
) -> Dataset:
    """The one-page report of a series as Encapsulated PDF.

    ``sources`` are the instances that were read (at least one); ``material`` what pictures are made of,
    None where there is nothing to show; ``assessment`` a physician's word on an earlier result of the
    series. Raises ValueError where there are no sources.
    """
    if not sources:
        raise ValueError("a report needs at least one source instance")
    pages = render(
        findings=findings,
        source=sources[0].header,
        identity=identity,
        label=label,
        material=material,
        history=history,
        assessment=assessment,
    )
    result = _encapsulated(pages, sources)
    result.DocumentTitle = label.texts(f"pdf.title.{findings.modality}")
    return finish(
        result,
        kind="pdf",
        source=sources[0].header,
        identity=identity,
        label=label,
        algorithms=findings.algorithms,
    )


def render(
    *,
    findings: Findings,
    source: Dataset,
    identity: Identity,
    label: SeriesLabel,
    material: CtMaterial | XrayMaterial | None = None,
    history: Sequence[Earlier] = (),
    assessment: Assessment | None = None,
) -> bytes:
    """The PDF itself."""
    texts = label.texts
    patient = source_identity(source)
    page = Page(
        title=f"{texts(f'pdf.title.{findings.modality}')} - {patient.PatientID}",
        subject=texts("disclaimer"),
        author=f"{label.model_name} {label.software_version}",
        language={"en": "en", "pt": "pt-BR"}[label.language],
    )
    y = head.header(page, source, findings.modality, label)
    y = answer.answer(page, y, findings, texts)
    if assessment is not None:
        y = assessed.assessed(page, y, assessment, texts)
    words = narrative(findings, texts, history)
    bottom = foot.reliability_top(page, findings, texts)
    limit = bottom - foot.untold_height(page, words)
    y = foot.remarks(page, y, limit - _LEAST_BODY, findings, texts)
    room = limit - y
    if isinstance(material, XrayMaterial):
        called = any(said.positive for said in findings.classifications[:1])
        y = xray.pictures(page, Area(LEFT, y, WIDTH, room), material, texts, called=called)
    elif findings.modality == Modality.CT:
        current = _current(findings, patient, identity)
        lungs = findings.lungs
        ct_part = ct.CtPart(
            material=material,
            lungs=lungs,
            current=current,
            history=history,
            cut=cut(findings),
            margin=margin(findings, texts),
            beside=[s for other in findings.beside if lungs for s in sentences(other, lungs, texts)],
        )
        y = ct.part(page, Area(LEFT, y, WIDTH, room), ct_part, texts)
    foot.untold(page, y, bottom, words, texts)
    foot.reliability(page, findings, texts)
    foot.footer(page, source, identity, label)
    return page.finished(identity.created)


def _current(findings: Findings, patient: Dataset, identity: Identity) -> Earlier | None:
    """This result as a point in time: the day of the study, or of the reading where that is unknown."""
    if findings.lungs is None:
        return None
    day = identity.created.date()
    if patient.StudyDate:
        day = datetime.strptime(str(patient.StudyDate), "%Y%m%d").date()
    return Earlier(day=day, percent=findings.lungs.percent)


def _encapsulated(document: bytes, sources: Sequence[Instance]) -> Dataset:
    """The modules of the Encapsulated PDF IOD besides those that all results share."""
    result = Dataset()
    result.file_meta = FileMetaDataset()
    result.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    result.SOPClassUID = EncapsulatedPDFStorage
    result.Modality = "DOC"
    result.ConversionType = "WSD"
    result.BurnedInAnnotation = "YES"
    result.AcquisitionDateTime = ""
    result.VerificationFlag = "UNVERIFIED"
    result.ConceptNameCodeSequence = [_TITLE]
    result.MIMETypeOfEncapsulatedDocument = "application/pdf"
    result.EncapsulatedDocumentLength = len(document)
    result.EncapsulatedDocument = document + b"\0" * (len(document) % 2)
    result.SourceInstanceSequence = [_reference(instance.header) for instance in sources]
    return result


def _reference(header: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = header.SOPClassUID
    item.ReferencedSOPInstanceUID = header.SOPInstanceUID
    return item
