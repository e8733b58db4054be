"""Header values: clean, or missing."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from plugin.dicom import headers


def test_text_is_upper_case_and_without_padding() -> None:
    dataset = Dataset()
    dataset.BodyPartExamined = " Chest \0"
    dataset.ImageType = ["ORIGINAL", "", "Axial "]
    assert headers.text(dataset, "BodyPartExamined") == "CHEST"
    assert headers.texts(dataset, "ImageType") == ("ORIGINAL", "AXIAL")
    assert headers.text(dataset, "ViewPosition") == ""


def test_numbers_are_finite_or_missing() -> None:
    dataset = Dataset()
    dataset.PixelSpacing = [0.5, 0.6]
    dataset.SliceThickness = None
    dataset.add_new("GantryDetectorTilt", "DS", "")
    dataset.add_new("TableHeight", "FD", float("nan"))
    dataset.add_new("KVP", "LO", "high")
    assert headers.numbers(dataset, "PixelSpacing") == (0.5, 0.6)
    for keyword in ("SliceThickness", "GantryDetectorTilt", "TableHeight", "KVP", "Rows"):
        assert headers.number(dataset, keyword) is None


def test_items_of_what_is_no_sequence_are_none() -> None:
    dataset = Dataset()
    dataset.BodyPartExamined = "CHEST"
    assert headers.items(dataset, "BodyPartExamined") == ()
    assert headers.items(dataset, "AnatomicRegionSequence") == ()


@pytest.mark.parametrize(
    ("attributes", "age"),
    [
        ({"PatientAge": "040Y"}, 40),
        ({"PatientAge": "006M"}, 0.5),
        ({"PatientAge": "026W"}, 0.5),
        ({"PatientAge": "073D"}, 0.2),
        ({"PatientBirthDate": "20000101", "StudyDate": "20100101"}, 10),
        ({"PatientAge": "62", "PatientBirthDate": "20000101", "StudyDate": "20100101"}, 10),
        ({"PatientBirthDate": "20200101", "StudyDate": "20100101"}, None),
        ({"PatientBirthDate": "unknown", "StudyDate": "20100101"}, None),
        ({"PatientAge": "forty"}, None),
        ({}, None),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_age(attributes: dict[str, str], age: float | None) -> None:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    assert headers.age_years(dataset) == (None if age is None else pytest.approx(age, abs=0.01))
