"""Which earlier results a new one is compared with: nobody else's, nothing later, nothing unlike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from plugin.queue.history import Imaged, Kept, Person, comparable
from plugin.results.summary import Earlier, Report

SEGMENTER = "ab" * 32
REPORT = Report(
    study_instance_uid="1.2", series_instance_uid="1.2.3", sop_class_uid="1.2.840", sop_instance_uid="1.2.3.4"
)
TAGS = {
    "PatientID": "P-1",
    "IssuerOfPatientID": "Hospital",
    "PatientName": "Doe^Jane",
    "PatientBirthDate": "19600102",
    "PatientSex": "F",
    "StudyInstanceUID": "1.2.9",
    "StudyDate": "20240516",
    "StudyTime": "101500",
    "SeriesDescription": "Lung 1.25",
    "SeriesNumber": "3",
}
NOW = Imaged.of(TAGS)


def outcome(
    percent: float = 5.0, *, sha256: str = SEGMENTER, remarks: tuple[str, ...] = ()
) -> dict[str, Any]:
    """An outcome as the ledger keeps it."""
    lung = {"volume_ml": 2000.0, "findings_ml": 100.0, "percent": percent}
    return {
        "verdict": {"accepted": True, "reasons": [{"code": code} for code in remarks]},
        "findings": {"lungs": {"model": "seg", "left": lung, "right": lung, "both": lung}},
        "models": [{"name": "seg", "sha256": sha256}],
    }


def before(kept: dict[str, Any] | None = None, **tags: str) -> Kept:
    """An earlier reading; ``tags`` tell how its images differ from the current ones."""
    earlier = {"StudyInstanceUID": "1.2.8", "StudyDate": "20240402"}
    return Kept(imaged=Imaged.of(TAGS | earlier | tags), outcome=kept or outcome(), report=REPORT)


def found(*kept: Kept, now: Imaged = NOW) -> tuple[Earlier, ...]:
    return comparable(now, kept, segmenter=SEGMENTER)


def test_an_earlier_study_of_the_same_person_is_compared_and_cited() -> None:
    (earlier,) = found(before(outcome(7.5)))
    assert (earlier.day.isoformat(), earlier.percent, earlier.right_percent) == ("2024-04-02", 7.5, 7.5)
    assert earlier.report == REPORT


@pytest.mark.parametrize(
    "tags",
    [
        {"PatientName": "Roe^Jane"},
        {"PatientBirthDate": "19610102"},
        {"PatientSex": "M"},
        {"IssuerOfPatientID": "Another hospital"},
        {"PatientID": "P-2"},
    ],
)
def test_another_person_is_not_compared(tags: dict[str, str]) -> None:
    assert found(before(**tags)) == ()


@pytest.mark.parametrize(
    "identifier", ["ANON", "Anonymous", "ANONYMIZED", "0", "000000", "", "XXXX", "unknown", "N/A", "TEST"]
)
def test_a_placeholder_is_nobody(identifier: str) -> None:
    now = Imaged.of(TAGS | {"PatientID": identifier})
    assert found(before(PatientID=identifier), now=now) == ()


@pytest.mark.parametrize("missing", ["PatientName", "PatientBirthDate"])
def test_who_has_no_name_or_date_of_birth_is_not_compared(missing: str) -> None:
    now = Imaged.of(TAGS | {missing: ""})
    assert found(before(**{missing: ""}), now=now) == ()


@pytest.mark.parametrize(
    ("day", "time", "compared"),
    [
        ("20240515", "", True),
        ("20240516", "101459", True),
        ("20240516", "101500", False),
        ("20240516", "120000", False),
        ("20240516", "", False),
        ("20240517", "000000", False),
        ("", "", False),
        ("2024", "", False),
    ],
)
def test_only_what_is_strictly_earlier(day: str, time: str, compared: bool) -> None:
    assert bool(found(before(StudyDate=day, StudyTime=time))) == compared


@pytest.mark.parametrize("code", ["lungs_cut_apex", "lungs_cut_base", "no_left_lung", "no_right_lung"])
def test_lungs_that_were_not_all_there_are_not_compared(code: str) -> None:
    assert found(before(outcome(remarks=(code,)))) == ()
    assert len(found(before(outcome(remarks=("thick_slices",))))) == 1


def test_another_network_measures_otherwise() -> None:
    assert found(before(outcome(sha256="cd" * 32))) == ()


def test_what_measured_nothing_is_not_compared() -> None:
    nothing = outcome() | {"findings": {"lungs": None}}
    assert found(before(nothing), before(outcome() | {"findings": None})) == ()


def test_one_reconstruction_of_a_study() -> None:
    soft = before(outcome(1.0), SeriesDescription="Soft", SeriesNumber="2")
    lung = before(outcome(2.0), SeriesNumber="5")
    assert [e.percent for e in found(soft, lung)] == [2.0]
    other = replace(NOW, description="Bone")
    assert [e.percent for e in found(lung, soft, now=other)] == [1.0]


def test_the_same_study_is_not_earlier() -> None:
    assert found(before(StudyInstanceUID=NOW.study)) == ()


def test_the_earliest_comes_first() -> None:
    later = before(outcome(3.0), StudyInstanceUID="1.2.7", StudyDate="20240501")
    assert [e.percent for e in found(later, before(outcome(4.0)))] == [4.0, 3.0]


def test_names_are_compared_without_their_case_and_empty_parts() -> None:
    assert Person.of(TAGS | {"PatientName": "DOE^JANE^^^"}) == Person.of(TAGS)
