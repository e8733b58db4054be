"""Every attribute that is read anywhere, broken in every way: read, rejected or refused, each with a reason.

The files are written in Implicit VR, where the reader alone decides what a value is. Screening, decoding
and results are the real ones; only the masks are given, as no network is needed to break a header.
"""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element, write_file_meta_info
from pydicom.uid import ImplicitVRLittleEndian
from results_factory import IDENTITY, LABEL, ct_findings, measurements, regions_of, xray_findings

from plugin.analysis.attention import AttentionMap
from plugin.dicom.imaging import read_ct, read_instances, read_xray
from plugin.domain.errors import ImagingError
from plugin.domain.findings import Verdict
from plugin.results.capture import build_attention
from plugin.results.pdf.ct import CtMaterial
from plugin.results.pdf.report import build_pdf
from plugin.results.pdf.xray import XrayMaterial
from plugin.results.seg.segmentation import build_seg
from plugin.results.sr.report import build_sr
from plugin.screening import gate
from tests.dicom_factory import MemorySource, as_file, ct_series, xray_dataset

LIMITS = gate.CtLimits(min_pixels=24, min_slices=8, min_extent_mm=50)
FILM_LIMITS = gate.XrayLimits(min_pixels=64)
ODD_SLICE = 3
TEXT = (None, b"", b"0", b"-1", b"nan", b"5,586", b"1e400", b"\xff\xfe", b"9" * 300)
WORD = (None, b"", *(struct.pack("<H", number) for number in (0, 7, 65535)), b"\1\0\0\0")

GEOMETRY = ("SliceThickness", "PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient")
IDENTIFIERS = ("SOPClassUID", "SOPInstanceUID", "FrameOfReferenceUID")
PIXELS = (
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel"),
    *("PhotometricInterpretation", "NumberOfFrames", "RescaleSlope", "RescaleIntercept", "PixelPaddingValue"),
    *("PixelPaddingRangeLimit", "SpecificCharacterSet"),
)
PATIENT = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge"),
    *("PatientSize", "PatientWeight", "PatientIdentityRemoved", "StudyDate", "StudyTime", "StudyID"),
    *("StudyDescription", "AccessionNumber", "ReferringPhysicianName", "InstanceNumber", "SeriesNumber"),
    *("SeriesDescription", "ImageType", "BodyPartExamined", "Modality", "TimezoneOffsetFromUTC"),
    *("Manufacturer", "ConvolutionKernel", "LossyImageCompression", "AcquisitionDate"),
)
FILM = (
    *("ViewPosition", "PatientOrientation", "ImagerPixelSpacing", "PresentationLUTShape", "WindowCenter"),
    *("WindowWidth", "VOILUTFunction", "QualityControlImage", "BurnedInAnnotation"),
)


def ways(keyword: str) -> tuple[bytes | None, ...]:
    """What may stand in an attribute's place; None takes it out."""
    return WORD if dictionary_VR(keyword) in {"US", "SS", "US or SS"} else TEXT


def spoil(dataset: Dataset, keyword: str, value: bytes | None) -> None:
    if value is None:
        dataset.pop(keyword, None)
    else:
        tag = tag_for_keyword(keyword)
        assert tag is not None
        dataset[tag] = DataElement(tag, "OB", value, already_converted=True)


def implicit(dataset: Dataset) -> bytes:
    """The file in Implicit VR, spoiled attributes as the bytes that they are."""
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    file = DicomBytesIO()
    file.is_little_endian, file.is_implicit_VR = True, True
    file.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(file, dataset.file_meta)
    for tag in sorted(dataset.keys()):
        element = dataset.get_item(tag)
        if isinstance(element, DataElement) and element.VR == "OB":
            value = element.value + b" " * (len(element.value) % 2)
            file.write(struct.pack("<HHI", tag.group, tag.element, len(value)) + value)
        else:
            write_data_element(file, dataset[tag])
    return file.getvalue()


def new_ct() -> list[Dataset]:
    series = ct_series(
        positions=np.arange(0.0, 90, 10),
        shape=(24, 26),
        spacing=(5, 5),
        FrameOfReferenceUID="1.2.3",
        PatientBirthDate="19600102",
        StudyDate="20240516",
        StudyTime="101500",
        InstanceNumber="1",
    )
    return [dcmread(io.BytesIO(as_file(dataset))) for dataset in series]


def whole(*results: Dataset | None) -> None:
    """Each result can be written and read back."""
    for result in results:
        assert result is not None
        buffer = io.BytesIO()
        result.save_as(buffer, enforce_file_format=True)
        assert dcmread(io.BytesIO(buffer.getvalue())).SOPInstanceUID == result.SOPInstanceUID


def read_a_ct(series: list[Dataset], *, pdf: bool = False) -> Dataset | Verdict | ImagingError:
    """The SEG (SR and PDF made, too), the verdict that rejects, or the error that refuses."""
    source = MemorySource({f"i{n}": implicit(dataset) for n, dataset in enumerate(series)})
    try:
        instances = read_instances(source)
        verdict, chosen = gate.screen_ct(instances, LIMITS)
        common: dict[str, Any] = {"identity": IDENTITY, "label": LABEL}
        if not verdict.accepted:
            return verdict
        volume = read_ct(source, chosen)
    except ImagingError as error:
        return error
    lungs = np.zeros(volume.hu.shape, np.uint8)
    lungs[2:6, 4:20, 2:10], lungs[2:6, 4:20, 14:22] = 1, 2
    masks = {"lungs": lungs, "findings_mask": lungs == 2}
    common["findings"] = ct_findings(verdict.remarks, lungs=measurements())
    seg = build_seg(volume=volume, **masks, **common)
    material = CtMaterial(volume=volume, lungs=lungs, findings=lungs == 2)
    if pdf:  # it shows one header's words only: tried with all of them at once
        whole(build_pdf(sources=volume.sources, material=material, **common))
    whole(
        seg,
        build_sr(
            sources=volume.sources,
            related={"seg": seg} if seg else {},
            regions=regions_of(volume=volume, **masks),
            **common,
        ),
    )
    assert seg is not None
    return seg


def has_a_reason(outcome: Dataset | Verdict | ImagingError, context: object) -> bool:
    """Whether it was read; where not, the reason is a sentence and a code."""
    if isinstance(outcome, Dataset):
        return True
    said = [(outcome.code, str(outcome))] if isinstance(outcome, ImagingError) else []
    if isinstance(outcome, Verdict):
        said = [(remark.code, remark.message) for remark in outcome.remarks]
    assert said, context
    for code, words in said:
        assert code != "unreadable", context
        assert 10 < len(words) < 300, (context, words)
        assert not any(ugly in words for ugly in ("Error", "object at", "Traceback", "None")), (
            context,
            words,
        )
    return False


@pytest.mark.parametrize("where", ["everywhere", "in one slice"])
@pytest.mark.parametrize("keyword", GEOMETRY + IDENTIFIERS + PIXELS)
def test_a_ct_with_a_spoiled_attribute(keyword: str, where: str) -> None:
    for value in ways(keyword):
        series = new_ct()
        for n, dataset in enumerate(series):
            if where == "everywhere" or n == ODD_SLICE:
                spoil(dataset, keyword, value)
        has_a_reason(read_a_ct(series), (keyword, value))


@pytest.mark.parametrize("value", TEXT)
def test_a_ct_with_every_attribute_of_patient_and_study_spoiled(value: bytes | None) -> None:
    series = new_ct()
    for dataset in series:
        for keyword in PATIENT:
            spoil(dataset, keyword, value)
    has_a_reason(read_a_ct(series, pdf=True), value)


@pytest.mark.parametrize("where", ["everywhere", "in one slice"])
def test_nothing_needs_the_slice_thickness(where: str) -> None:
    """The distance of the slices is in their positions; the attribute may be empty (type 2)."""
    for value in (None, b"", b"-5", b"5,586") if where == "everywhere" else (None, b"nan"):
        series = new_ct()
        for n, dataset in enumerate(series):
            if where == "everywhere" or n == ODD_SLICE:
                spoil(dataset, "SliceThickness", value)
        seg = read_a_ct(series)
        assert isinstance(seg, Dataset), value
        measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        if where == "everywhere":
            assert float(measures.SliceThickness) == pytest.approx(10)
        assert float(measures.SpacingBetweenSlices) == pytest.approx(10)


@pytest.mark.parametrize("keyword", [*PIXELS, *IDENTIFIERS[:2], "PresentationLUTShape"])
def test_a_film_with_a_spoiled_attribute(keyword: str) -> None:
    for value in ways(keyword):
        dataset = new_film()
        spoil(dataset, keyword, value)
        has_a_reason(read_a_film(implicit(dataset)), (keyword, value))


@pytest.mark.parametrize("value", TEXT)
def test_a_film_with_every_other_attribute_spoiled(value: bytes | None) -> None:
    dataset = new_film()
    for keyword in (*PATIENT, *FILM):
        spoil(dataset, keyword, value)
    has_a_reason(read_a_film(implicit(dataset)), value)


def new_film() -> Dataset:
    ramp = np.add.outer(np.arange(70), np.arange(80)).astype(np.uint16)
    return dcmread(io.BytesIO(as_file(xray_dataset(ramp, WindowCenter=70, WindowWidth=140))))


def read_a_film(file: bytes) -> Dataset | Verdict | ImagingError:
    source = MemorySource({"film": file})
    common: dict[str, Any] = {"identity": IDENTITY, "label": LABEL}
    try:
        instances = read_instances(source)
        verdict, chosen = gate.screen_xray(instances, FILM_LIMITS)
        common["findings"] = xray_findings(verdict.remarks)
        if not verdict.accepted:
            return verdict
        image = read_xray(source, chosen[0])
    except ImagingError as error:
        return error
    attention = AttentionMap(shades=np.zeros(image.pixels.shape, np.float32), outside=0.0)
    attention.shades[10:20, 10:20] = 1
    material = XrayMaterial(image=image, attention=attention)
    report = build_sr(sources=[image.source], **common)
    whole(
        report,
        build_pdf(sources=[image.source], material=material, **common),
        build_attention(image=image, attention=attention, **common),
    )
    return report
