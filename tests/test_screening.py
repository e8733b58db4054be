"""Header rules: each by its code, all that fail, nothing of the patient in the words."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    EnhancedCTImageStorage,
    SecondaryCaptureImageStorage,
)

from plugin.dicom import imaging
from plugin.domain.findings import Severity, Verdict
from plugin.results.summary import sentence
from plugin.results.texts import Texts
from plugin.screening import gate
from tests.dicom_factory import MemorySource, ct_series, source, xray_dataset

FILM = np.zeros((600, 560), dtype=np.uint16)
SLICE = {"shape": (256, 256), "spacing": (1.3, 1.3), "hu": lambda p: np.zeros(p.shape[:-1], np.int16)}
POSITIONS = tuple(np.arange(0, 200, 5.0))


def xray(*datasets: Dataset, **limits: Any) -> tuple[Verdict, tuple[imaging.Instance, ...]]:
    instances = imaging.read_instances(source(*datasets))
    return gate.screen_xray(instances, gate.XrayLimits(**limits))


def film(**attributes: Any) -> Verdict:
    return xray(xray_dataset(FILM, **attributes))[0]


def ct(datasets: list[Any], **limits: Any) -> tuple[Verdict, tuple[imaging.Instance, ...]]:
    instances = imaging.read_instances(source(*datasets))
    return gate.screen_ct(instances, gate.CtLimits(**limits))


def slices(positions: tuple[float, ...] = POSITIONS, **attributes: Any) -> list[Any]:
    return ct_series(positions=positions, **{**SLICE, **attributes})


def codes(verdict: Verdict, severity: Severity | None = None) -> set[str]:
    return {r.code for r in verdict.remarks if severity in {None, r.severity}}


def code_item(value: str, meaning: str) -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return [item]


def test_a_plain_film_passes_without_a_word() -> None:
    verdict, chosen = xray(xray_dataset(FILM))
    assert verdict.accepted
    assert not verdict.remarks
    assert len(chosen) == 1


def test_a_film_of_a_bare_header_passes() -> None:
    bare = dict.fromkeys(("BodyPartExamined", "ViewPosition", "ImageType", "Modality", "InstanceNumber"))
    assert film(**bare, SOPClassUID=DigitalXRayImageStorageForPresentation).remarks == ()


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"SOPClassUID": SecondaryCaptureImageStorage}, "sop_class"),
        ({"SOPClassUID": DigitalXRayImageStorageForProcessing}, "for_processing"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "presentation_intent"),
        ({"ImageType": ["ORIGINAL", "SECONDARY"]}, "secondary_image"),
        ({"BodyPartExamined": "HAND"}, "body_part"),
        ({"BodyPartExamined": None, "AnatomicRegionSequence": code_item("1", "Knee")}, "body_part"),
        ({"ViewPosition": "LL"}, "view_position"),
        ({"ViewPosition": "LATERAL"}, "view_position"),
        ({"ViewPosition": "RAO"}, "view_position"),
        ({"ViewPosition": "LEFT LATERAL"}, "view_position"),
        ({"ViewPosition": "", "ViewCodeSequence": code_item("399198007", "right lateral")}, "view_position"),
        ({"ViewPosition": "", "ViewCodeSequence": code_item("X", "left anterior oblique")}, "view_position"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "samples_per_pixel"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "photometric_interpretation"),
        ({"Rows": 511}, "few_rows"),
        ({"Columns": 300}, "few_columns"),
        ({"Rows": 6145, "Columns": 6145}, "many_pixels"),
        ({"Rows": 1200}, "aspect"),
        ({"Columns": 1201}, "aspect"),
        ({"NumberOfFrames": 2}, "number_of_frames"),
        ({"QualityControlImage": "YES"}, "quality_control_image"),
        ({"PixelData": None}, "no_pixel_data"),
    ],
)
def test_each_rule_of_a_film_rejects(attributes: dict[str, Any], code: str) -> None:
    verdict, chosen = xray(xray_dataset(FILM, **attributes))
    assert not verdict.accepted
    assert code in codes(verdict, Severity.REJECT)
    assert chosen == ()


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"ImageType": ["DERIVED", "PRIMARY"]}, "derived_image"),
        ({"BurnedInAnnotation": "YES"}, "burned_in_annotation"),
        ({"PatientAge": "009Y"}, "young_patient"),
    ],
)
def test_some_rules_of_a_film_warn(attributes: dict[str, Any], code: str) -> None:
    verdict = film(**attributes)
    assert verdict.accepted
    assert codes(verdict) == {code}


@pytest.mark.parametrize(
    "attributes",
    [
        {"ViewPosition": "AP"},
        {"ViewPosition": "SKYLINE"},
        {"ViewPosition": "", "ViewCodeSequence": code_item("399348003", "antero-posterior")},
        {"BodyPartExamined": "TRUNK"},
        {"Rows": None},
        {"PhotometricInterpretation": None, "SamplesPerPixel": None},
        {"PatientAge": "018Y"},
        {"Rows": 512, "Columns": 1024},
    ],
)
def test_missing_and_unknown_values_pass(attributes: dict[str, Any]) -> None:
    assert film(**attributes).remarks == ()


def test_all_failed_rules_are_listed_with_value_and_limit() -> None:
    verdict = film(Rows=100, Columns=100, BodyPartExamined="KNEE", ViewPosition="LL", PatientAge="003Y")
    assert codes(verdict) == {"few_rows", "few_columns", "body_part", "view_position", "young_patient"}
    message = next(r.message for r in verdict.remarks if r.code == "few_rows")
    assert message == "the image has 100 rows: at least 512 are needed"


def test_limits_are_settings() -> None:
    assert xray(xray_dataset(FILM, Rows=300, Columns=300), min_pixels=300)[0].accepted
    assert not xray(xray_dataset(FILM, PatientAge="009Y"), young_age="reject")[0].accepted
    assert ct(slices(POSITIONS[:10]), min_slices=10, min_extent_mm=50)[0].accepted
    parsed = gate.CtLimits.model_validate({"MinSlices": 5, "MaxSliceThicknessMm": 3})
    assert (parsed.min_slices, parsed.max_slice_thickness_mm) == (5, 3)
    for model in (gate.XrayLimits, gate.CtLimits):
        assert all(field.description for field in model.model_fields.values())


def test_of_several_films_the_frontal_one_is_read() -> None:
    lateral = xray_dataset(FILM, ViewPosition="LL", InstanceNumber=1)
    unknown = xray_dataset(FILM, ViewPosition="", InstanceNumber=2)
    late, early = (xray_dataset(FILM, ViewPosition="PA", InstanceNumber=n) for n in (9, 4))
    verdict, (chosen,) = xray(lateral, unknown, late, early)
    assert verdict.accepted
    assert chosen.header.InstanceNumber == 4
    assert codes(verdict) == {"several_images"}
    rejected, none = xray(lateral, xray_dataset(FILM, BodyPartExamined="HAND"))
    assert codes(rejected) == {"view_position", "body_part"}
    assert none == ()


def test_nothing_of_the_patient_is_in_the_messages() -> None:
    verdict = film(PatientAge="003Y", PatientName="Secret^Name", PatientID="4711", Rows=3)
    text = " ".join(remark.message for remark in verdict.remarks)
    assert not any(word in text for word in ("Secret", "4711", "003Y", " 3 years"))


def test_a_plain_ct_passes_with_all_its_slices() -> None:
    verdict, chosen = ct(slices())
    assert verdict.remarks == ()
    assert len(chosen) == len(POSITIONS)


def test_optional_attributes_of_a_ct_may_be_missing() -> None:
    optional = ("BodyPartExamined", "SliceThickness", "ImageType", "InstanceNumber", "Modality")
    verdict, _ = ct(slices(**dict.fromkeys(optional)))
    assert verdict.remarks == ()


EVERY_SLICE: list[tuple[dict[str, Any], str]] = [
    ({"SOPClassUID": EnhancedCTImageStorage}, "enhanced_ct"),
    ({"SOPClassUID": SecondaryCaptureImageStorage}, "sop_class"),
    ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
    ({"ImageType": ["ORIGINAL", "SECONDARY", "AXIAL"]}, "secondary_image"),
    ({"ImageType": ["DERIVED", "PRIMARY", "MPR"]}, "derived_image"),
    ({"ImageType": ["DERIVED", "PRIMARY", "AXIAL", "MIP"], "LossyImageCompression": "01"}, "derived_image"),
    ({"BodyPartExamined": "ABDOMEN"}, "body_part"),
    ({"SamplesPerPixel": 3}, "samples_per_pixel"),
    ({"Rows": 255}, "few_rows"),
    ({"Rows": 4096, "Columns": 4096}, "many_voxels"),
    ({"PixelSpacing": None}, "no_pixel_spacing"),
    ({"PixelSpacing": [3e-5, 3e-5]}, "pixel_spacing"),
    ({"PixelSpacing": [1000, 1000]}, "pixel_spacing"),
    ({"PixelSpacing": [1e6, 1e6]}, "pixel_spacing"),
    ({"RescaleSlope": None}, "no_rescale"),
    ({"RescaleIntercept": None}, "no_rescale"),
    ({"RescaleSlope": 0}, "rescale_slope"),
    ({"SliceThickness": 10.5}, "slice_thickness"),
    ({"ImageOrientationPatient": None}, "no_orientation"),
    ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "not_axial"),
    ({"ImageOrientationPatient": [1, 0, 0, 0, 0.9848, 0.1736]}, "not_axial"),
    ({"ImagePositionPatient": None}, "no_position"),
    ({"PixelData": None}, "no_pixel_data"),
]


@pytest.mark.parametrize(("attributes", "code"), EVERY_SLICE)
def test_each_rule_of_a_ct_rejects(attributes: dict[str, Any], code: str) -> None:
    verdict, chosen = ct(slices(**attributes))
    assert not verdict.accepted
    assert code in codes(verdict, Severity.REJECT)
    assert chosen == ()


def first(keyword: str, value: Any) -> Callable[[list[Any]], None]:
    return lambda series: setattr(series[0], keyword, value)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (first("PixelSpacing", [1.3, 1.4]), "pixel_spacing_varies"),
        (first("Rows", 300), "size_varies"),
        (first("ImageOrientationPatient", [0.9998, 0.02, 0, -0.02, 0.9998, 0]), "orientation_varies"),
        (first("ImagePositionPatient", [-160, -165.75, 0]), "shifted_slices"),
        (first("ImagePositionPatient", [-165.75, -165.75, 5]), "duplicate_positions"),
        (first("ImagePositionPatient", [-165.75, -165.75, 1e30]), "no_position"),
        (first("FrameOfReferenceUID", "1.2.3"), "no_frame_of_reference"),
        (first("ImageType", ["DERIVED", "PRIMARY", "AXIAL"]), "derived_image"),
        (first("BodyPartExamined", "HEAD"), "body_part"),
    ],
)
def test_one_slice_that_differs_rejects_the_ct(change: Callable[[list[Any]], None], code: str) -> None:
    series = slices()
    change(series)
    verdict, _ = ct(series)
    assert code in codes(verdict, Severity.REJECT)


@pytest.mark.parametrize(
    ("positions", "rejected", "warned"),
    [
        (POSITIONS[:19], {"few_slices", "short_extent"}, set()),
        (tuple(np.arange(0, 60, 1.0)), {"short_extent"}, set()),
        (tuple(np.arange(0, 800, 5.0)), set(), {"long_extent"}),
        ((*POSITIONS[:20], *POSITIONS[21:]), {"missing_slices"}, set()),
        (tuple(p + 0.2 * (n % 2) for n, p in enumerate(POSITIONS)), set(), {"uneven_spacing_small"}),
        (tuple(p + 0.004 * (n % 2) for n, p in enumerate(POSITIONS)), set(), set()),
        (tuple(p + 0.6 * (n % 2) for n, p in enumerate(POSITIONS)), {"uneven_spacing"}, set()),
    ],
)
def test_positions(positions: tuple[float, ...], rejected: set[str], warned: set[str]) -> None:
    verdict, _ = ct(slices(positions))
    assert codes(verdict, Severity.REJECT) == rejected
    assert codes(verdict, Severity.WARN) == warned


def test_frames_of_reference_that_differ_reject() -> None:
    series = slices(FrameOfReferenceUID="1.2.3")
    assert ct(series)[0].remarks == ()
    series[7].FrameOfReferenceUID = "1.2.4"
    assert codes(ct(series)[0]) == {"frame_of_reference_varies"}
    series[7].FrameOfReferenceUID = ""
    assert codes(ct(series)[0]) == {"no_frame_of_reference"}


def test_slices_too_far_apart_and_series_longer_than_any_body_reject() -> None:
    assert codes(ct(slices(tuple(np.arange(20) * 10.5)))[0]) == {"slice_distance"}
    assert codes(ct(slices(tuple(np.arange(40) * 100.0)))[0]) == {"slice_distance", "extent"}


def test_the_default_limits_agree() -> None:
    limits = gate.CtLimits()
    assert limits.max_slices * 512**2 == limits.max_voxels == imaging.MAX_VOLUME_VOXELS
    assert gate.XrayLimits().max_pixels ** 2 == imaging.MAX_FILM_PIXELS


def test_a_series_beyond_the_memory_limit_is_rejected_with_limit_and_size() -> None:
    verdict, chosen = ct(slices(), max_voxels=2_000_000)
    assert chosen == ()
    assert [remark.message for remark in verdict.remarks] == [
        "40 slices of 256 x 256 pixels are 2621440 voxels: at most 2000000 are read"
    ]


def stacked(degrees: float, *, sheared: bool) -> list[Any]:
    """Slices leaning about the left-right axis: stacked along their normal, or along the table."""
    lean = np.deg2rad(degrees)
    column, normal = (0, np.cos(lean), np.sin(lean)), np.array([0, -np.sin(lean), np.cos(lean)])
    series = slices(column=column)
    for dataset, z in zip(series, POSITIONS, strict=True):
        corner = np.array(series[0].ImagePositionPatient, dtype=float) * (1, 1, 0)
        along = np.array([0, 0, z]) if sheared else z * normal
        dataset.ImagePositionPatient = [f"{value:.6f}" for value in corner + along]
    return series


def test_an_oblique_regular_stack_is_read() -> None:
    for degrees in (1, 5):
        assert ct(stacked(degrees, sheared=False))[0].remarks == ()


def test_a_tilted_gantry_is_rejected_as_that() -> None:
    verdict, _ = ct(stacked(8, sheared=True))
    assert [(remark.code, remark.message) for remark in verdict.remarks] == [
        (
            "tilted",
            "the gantry was tilted by 8.0 degrees, which shears the series by 27.1 mm: at most 0.5 mm is"
            " accepted",
        )
    ]


def test_the_nominal_thickness_is_not_the_spacing() -> None:
    assert ct(slices(SliceThickness=1.25))[0].remarks == ()


@pytest.mark.parametrize(
    ("thickness", "warned"), [(2.5, set()), (2.6, {"thick_slices"}), (5.5, {"very_thick_slices"})]
)
def test_slice_thickness_warns(thickness: float, warned: set[str]) -> None:
    verdict, _ = ct(slices(SliceThickness=thickness))
    assert verdict.accepted
    assert codes(verdict) == warned


def test_lossy_compression_alone_does_not_make_a_reformat() -> None:
    verdict, _ = ct(slices(ImageType=["DERIVED", "PRIMARY", "AXIAL"], LossyImageCompression="01"))
    assert verdict.accepted
    assert codes(verdict) == {"lossy_compression"}


def test_localizers_among_the_slices_are_left_out() -> None:
    scouts = ct_series(
        positions=(0, 1), row=(1, 0, 0), column=(0, 0, -1), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]
    )
    verdict, chosen = ct([*scouts, *slices()])
    assert codes(verdict) == {"localizers_left_out"}
    assert verdict.accepted
    assert len(chosen) == len(POSITIONS)


def test_an_empty_series_is_rejected() -> None:
    for screen in (gate.screen_xray, gate.screen_ct):
        verdict, chosen = screen(())
        assert codes(verdict) == {"no_instances"}
        assert chosen == ()


def header(**attributes: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    ("attributes", "modality"),
    [
        ({"Modality": "CR"}, "xray"),
        ({"Modality": "DX"}, "xray"),
        ({"Modality": "CT"}, "ct"),
        ({"Modality": "CR", "SOPClassUID": SecondaryCaptureImageStorage}, "xray"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "ct"),
        ({"SOPClassUID": DigitalXRayImageStorageForPresentation}, "xray"),
        ({"SOPClassUID": SecondaryCaptureImageStorage}, None),
        *(({"Modality": m}, None) for m in ("MR", "US", "NM", "SR", "SEG", "DOC", "PR", "OT", "RG", "MG")),
        ({}, None),
        ({"Modality": "CR", "ManufacturerModelName": "orthanc-chest-ai"}, None),
        (
            {
                "Modality": "CT",
                "ContributingEquipmentSequence": [header(ManufacturerModelName="orthanc-chest-ai")],
            },
            None,
        ),
    ],
)
def test_which_series_are_candidates(attributes: dict[str, Any], modality: str | None) -> None:
    assert gate.modality_of(header(**attributes)) == modality


def test_other_modalities_by_setting() -> None:
    assert gate.modality_of(header(Modality="RG"), ("CR", "DX", "RG")) == "xray"


# What each odd file must come to: the codes that reject it, none where accepted, None: no candidate.
ODD: dict[str, set[str] | None] = {
    "966_fixed.dcm": set(),
    "RG1_J2KI.dcm": set(),
    "JPEG2KLossless_1s_1f_u_16_16.dcm": set(),
    "1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819.dcm": {"sop_class"},
    "dx_image.dcm": {"few_rows", "few_columns"},
    "RG2_J2KI.dcm": {"body_part"},
    "RG3_J2KI.dcm": {"body_part"},
    "NM_Kakadu44_SOTmarkerincons.dcm": {"body_part"},
    "0.dcm": {"few_slices", "short_extent"},
    "SignedCT.dcm": {"few_slices", "short_extent"},
    "Issue141.dcm": {"few_slices", "short_extent", "body_part"},
    "WithEmptyPatientComments.dcm": {"few_slices", "short_extent", "body_part"},
    "TEST_1_study_1234.dcm": {"derived_image", "few_slices", "not_axial", "short_extent"},
    "A002304_coronal_19001231-076.dcm": {
        "secondary_image", "derived_image", "few_slices", "not_axial", "short_extent"
    },
    "eCT_Supplemental.dcm": {
        "enhanced_ct", "derived_image", "few_slices", "no_pixel_spacing", "no_rescale", "no_orientation",
        "no_position",
    },
    "6924.dcm": {
        "localizer", "few_rows", "few_columns", "few_slices", "slice_thickness", "not_axial", "short_extent"
    },
    "waveform_ecg.dcm": None,
    "rtdose_rle.dcm": None,
    **dict.fromkeys(
        f"1.2.840.10008.1.2.{n}.dcm" for n in ("1", "4.50", "4.57", "4.80", "4.90", "5")
    ),
}  # fmt: skip


def test_every_odd_file_has_its_verdict(data: Path) -> None:
    files = sorted((data / "dicom" / "odd").glob("*/*.dcm"))
    assert len(files) == 39
    for path in files:
        instances = imaging.read_instances(MemorySource({path.name: path.read_bytes()}))
        modality = gate.modality_of(instances[0].header)
        expected = ODD.get(path.name, {"few_slices", "short_extent"})
        if modality is None:
            assert expected is None, path.name
            continue
        screen = {"xray": gate.screen_xray, "ct": gate.screen_ct}[modality]
        verdict, chosen = screen(instances)
        if path.name == "TOSHIBA_J2K_SIZ1_PixRep0.dcm":
            expected = {"derived_image", "body_part", "few_slices", "not_axial", "short_extent"}
        if path.name == "A002304_sagittal_19001231-080.dcm":
            expected = ODD["A002304_coronal_19001231-076.dcm"]
        assert codes(verdict, Severity.REJECT) == expected, path.name
        assert len(chosen) == int(verdict.accepted)


def test_the_real_chest_ct_passes(data: Path) -> None:
    folder = data / "dicom" / "lidc_idri_0001"
    series = MemorySource({path.name: path.read_bytes() for path in folder.glob("*.dcm")})
    verdict, chosen = gate.screen_ct(imaging.read_instances(series))
    assert verdict.remarks == ()
    assert len(chosen) == 133


@pytest.mark.parametrize(
    "spoiled",
    [
        lambda: film(Rows=100, Columns=9000, NumberOfFrames=3, PatientAge="003Y", SamplesPerPixel=3),
        lambda: film(BodyPartExamined="HAND", ViewPosition="LL", PhotometricInterpretation="RGB"),
        lambda: ct(stacked(8, sheared=True))[0],
        lambda: ct(slices()[::3])[0],
        lambda: ct([*slices()[:10], *slices()[14:]])[0],
        lambda: ct(slices(SliceThickness=5.5, PixelSpacing=[9, 9]), min_slices=50, min_extent_mm=400)[0],
        lambda: ct(stacked(20, sheared=False), max_slices=10)[0],
        lambda: ct([*slices(), *slices()])[0],
    ],
    ids=map(str, range(8)),
)
def test_every_remark_is_said_in_portuguese_with_its_numbers(spoiled: Callable[[], Verdict]) -> None:
    verdict = spoiled()
    english = re.compile(r"\b(the|is|are|of|at least|at most)\b|[{}]")
    assert verdict.remarks
    for remark in verdict.remarks:
        words = sentence(remark, Texts("pt"))
        assert not english.search(words), words
        assert not re.search(r"\d\.\d", words), words
