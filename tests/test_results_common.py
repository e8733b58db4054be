"""Patient and study attributes from clean, dirty and foreign sources; labels."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime

import pydicom
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from results_factory import (
    CREATED,
    IDENTITY,
    LABEL,
    STUDY,
    attention_for,
    ct_findings,
    header,
    xray,
    xray_findings,
)

from plugin.dicom.imaging import Instance
from plugin.results.capture import build_attention
from plugin.results.common import SeriesLabel, source_identity
from plugin.results.pdf.report import build_pdf
from plugin.results.pdf.xray import XrayMaterial
from plugin.results.sr.report import build_sr

TYPE_2 = (
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


def read_back(ds: Dataset) -> Dataset:
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return pydicom.dcmread(buffer)


def report(source: Dataset) -> Dataset:
    instance = Instance(instance_id="a", header=source, has_pixels=True)
    return build_sr(findings=ct_findings(), sources=[instance], identity=IDENTITY, label=LABEL)


def test_attributes_are_those_of_the_source() -> None:
    result = read_back(report(header()))
    assert result.StudyInstanceUID == STUDY
    assert (result.PatientName, result.PatientID) == ("Doe^Jane", "P-1")
    assert (result.StudyDate, result.StudyTime, result.AccessionNumber) == ("20240516", "101500", "A-77")
    assert result.StudyDescription == "Chest CT"
    assert (result.ContentDate, result.ContentTime) == ("20240517", "093015")


def test_missing_attributes_become_empty_ones() -> None:
    source = header(**dict.fromkeys(TYPE_2))
    result = read_back(report(source))
    for keyword in TYPE_2:
        assert keyword in result
        assert not result.get(keyword)


def test_dirty_values_are_cleaned_and_identifiers_kept() -> None:
    source = header()
    with pydicom.config.disable_value_validation():
        source.PatientBirthDate = "1960.01.02"
        source.StudyDate = "2024ABCD"
        source.StudyTime = "25:99"
        source.PatientAge = "64"
        source.PatientSex = "female"
        source.StudyDescription = "x" * 200
        source.AccessionNumber = "0123456789ABCDEFGHIJ"
        source.PatientName = "Doe^Jane\r\n^^^^^^too^many"
        source.PatientID = " P-1 "
        source.PatientWeight = "-3"
    clean = source_identity(source)
    assert clean.PatientBirthDate == "19600102"
    assert (clean.StudyDate, clean.StudyTime, clean.PatientSex) == ("", "", "")
    assert "PatientAge" not in clean
    assert "PatientWeight" not in clean
    assert len(clean.StudyDescription) == 64
    assert clean.AccessionNumber == "0123456789ABCDEF"
    assert str(clean.PatientName) == "Doe^Jane  ^^^"
    assert clean.PatientID == "P-1"


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Müller^José"),
        ("ISO_IR 144", "Емельянова^Антонина"),
        ("ISO_IR 126", "Διονυσιος"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
    ],
)
def test_names_survive_from_every_character_set(charset: str | list[str], name: str) -> None:
    source = read_back(header(SpecificCharacterSet=charset, PatientName=name))
    result = read_back(report(source))
    assert result.SpecificCharacterSet == "ISO_IR 192"
    assert str(result.PatientName) == name


def test_an_unreadable_attribute_is_left_out() -> None:
    source = header()
    source[0x00101020] = RawDataElement(Tag(0x00101020), "DS", 4, b"tall", 0, False, True)
    assert "PatientSize" not in source_identity(source)


def test_identity_removed_is_kept() -> None:
    assert source_identity(header(PatientIdentityRemoved="YES")).DeidentificationMethod == "UNKNOWN"


@pytest.mark.parametrize("language", ["en", "pt"])
@pytest.mark.parametrize("kind", ["sr", "pdf", "seg", "attention"])
def test_a_long_prefix_never_cuts_the_warning(kind: str, language: str) -> None:
    label = SeriesLabel(software_version="1", description="A" * 40, language=language)
    words = label.series_description(kind)
    assert len(words) <= 64
    assert words.endswith(label.texts(f"series.{kind}"))


def test_results_are_dated_by_the_identity_and_say_who_made_them() -> None:
    result = report(header())
    assert result.InstanceCreationDate == CREATED.strftime("%Y%m%d")
    equipment = result.ContributingEquipmentSequence[0]
    assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
    assert "not for clinical use" in equipment.ContributionDescription


def all_results(source: Dataset) -> dict[str, Dataset]:
    """Each kind of result of an X-ray with that header, and the SR of a CT."""
    image = xray()
    image.source.header.update(source)
    common = {"findings": xray_findings(), "identity": IDENTITY, "label": LABEL}
    looked = attention_for(image)
    attention = build_attention(image=image, attention=looked, **common)  # type: ignore[arg-type]
    pdf = build_pdf(
        sources=[image.source],
        material=XrayMaterial(image=image, attention=looked),
        **common,  # type: ignore[arg-type]
    )
    sr = build_sr(sources=[image.source], **common)  # type: ignore[arg-type]
    return {kind: read_back(ds) for kind, ds in (("attention", attention), ("pdf", pdf), ("sr", sr))}


def test_every_result_names_every_network_its_file_and_its_operating_points() -> None:
    for kind, ds in all_results(Dataset()).items():
        software, network = ds.ContributingEquipmentSequence
        assert software.ManufacturerModelName == "orthanc-chest-ai", kind
        assert (network.ManufacturerModelName, network.SoftwareVersions) == ("xray-lite2", "1.2.0"), kind
        assert f"sha256={'ab' * 32}" in network.ContributionDescription, kind
        assert "threshold COVID=0.53" in network.ContributionDescription, kind
        assert network.DeviceUID.startswith("2.25."), kind


def test_the_device_uid_changes_with_the_file_and_the_site() -> None:
    def items(sha256: str, site: str) -> list[str]:
        said = xray_findings().classifications[0]
        other = replace(said, algorithm=replace(said.algorithm, sha256=sha256))
        ds = build_sr(
            findings=replace(xray_findings(), classifications=(other,)),
            sources=[xray().source],
            identity=IDENTITY,
            label=replace(LABEL, device_serial=site),
        )
        assert ds.DeviceSerialNumber == site
        return [item.DeviceUID for item in ds.ContributingEquipmentSequence]

    here, network = items("ab" * 32, "one")
    there, same = items("ab" * 32, "two")
    assert here != there
    assert network == same
    assert items("cd" * 32, "one")[1] != network


def test_the_request_is_carried_over_where_it_is_valid() -> None:
    issuer, request, empty = Dataset(), Dataset(), Dataset()
    issuer.LocalNamespaceEntityID = "HOSPITAL"
    request.RequestedProcedureID, request.AccessionNumber = "RP1", "A-77"
    request.RequestedProcedureDescription = "Chest"
    empty.RequestedProcedureDescription = "names no procedure"
    source = Dataset()
    source.IssuerOfAccessionNumberSequence = [issuer]
    source.RequestAttributesSequence = [request, empty]
    source.TimezoneOffsetFromUTC = "-0300"
    for kind, ds in all_results(source).items():
        assert ds.IssuerOfAccessionNumberSequence[0].LocalNamespaceEntityID == "HOSPITAL", kind
        assert ds.TimezoneOffsetFromUTC == "-0300", kind
        requests = ds.ReferencedRequestSequence if kind == "sr" else ds.RequestAttributesSequence
        assert [item.RequestedProcedureID for item in requests] == ["RP1"], kind


@pytest.mark.parametrize("offset", ["", "0300", "+9900", "-0000", "local"])
def test_an_invalid_time_zone_is_left_out(offset: str) -> None:
    with pydicom.config.disable_value_validation():
        assert "TimezoneOffsetFromUTC" not in source_identity(header(TimezoneOffsetFromUTC=offset))


def test_times_are_in_the_zone_that_is_named() -> None:
    moment = datetime(2024, 5, 17, 1, 30, 15, tzinfo=UTC)
    instance = Instance(instance_id="a", header=header(TimezoneOffsetFromUTC="-0300"), has_pixels=True)
    ds = build_sr(
        findings=ct_findings(),
        sources=[instance],
        identity=replace(IDENTITY, created=moment),
        label=LABEL,
    )
    assert (ds.ContentDate, ds.ContentTime) == ("20240516", "223015")
