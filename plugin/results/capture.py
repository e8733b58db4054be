"""The attention map of an X-ray: RGB Secondary Capture of the picture with the map over it.

DICOM PS3.3 Section A.8.1. Every viewer shows it.
"""

from __future__ import annotations

from highdicom.sc import SCImage
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from plugin.analysis.attention import AttentionMap
from plugin.dicom.imaging import XrayImage
from plugin.domain.findings import Findings
from plugin.results.common import SeriesLabel, finish, source_identity
from plugin.results.identity import Identity
from plugin.results.orientation import patient_orientation
from plugin.results.overlay import overlay


def build_attention(
    *,
    image: XrayImage,
    attention: AttentionMap,
    findings: Findings,
    identity: Identity,
    label: SeriesLabel,
) -> Dataset:
    """The attention map over the picture as Secondary Capture.

    ``attention``: the evidence for the finding. Raises ValueError where its shape is not that of the picture.
    """
    shape = attention.shades.shape
    if shape != image.pixels.shape:
        raise ValueError(f"attention of shape {shape} for a picture of {image.pixels.shape}")
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
    return finish(
        capture,
        kind="attention",
        source=source,
        identity=identity,
        label=label,
        algorithms=findings.algorithms,
    )


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
    capture.PatientOrientation = patient_orientation(source)
    capture.DateOfSecondaryCapture = identity.created.strftime("%Y%m%d")
    capture.TimeOfSecondaryCapture = identity.created.strftime("%H%M%S")
    if "LossyImageCompression" in source:
        capture.LossyImageCompression = source.LossyImageCompression
