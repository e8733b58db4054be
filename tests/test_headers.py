"""Header values: clean, or missing."""

from __future__ import annotations

import pytest
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from plugin.dicom import headers
from plugin.dicom.files import header_of
from plugin.domain.errors import UnreadableInstance
from plugin.results import cleaning


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


def test_a_value_that_cannot_be_read_is_not_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """pydicom's message quotes it: it may be the patient's."""
    dataset = Dataset()
    for keyword in ("PatientAge", "PatientName"):
        tag = tag_for_keyword(keyword)
        assert tag is not None
        dataset[tag] = RawDataElement(BaseTag(tag), "FD", 7, b"Jane Do", 0, False, True)
    assert headers.text(dataset, "PatientAge") == ""
    assert cleaning.read(dataset, "PatientName") == ""
    assert "PatientAge cannot be read and counts as missing" in caplog.text
    assert "PatientName of the source cannot be read and is left out" in caplog.text
    assert "Jane" not in caplog.text


def test_a_file_that_is_no_dicom_is_not_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(UnreadableInstance):
        header_of(b"Jane Doe, born 1960")
    assert "a file is not read as DICOM" in caplog.text
    assert "Jane" not in caplog.text
