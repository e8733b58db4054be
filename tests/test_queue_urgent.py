"""The site's rule for what is urgent: what it may say, what it finds; it never hangs and shapes no result."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plugin.domain.kinds import Modality
from plugin.models.lineup import Lineup
from plugin.queue.filing import as_file
from plugin.queue.intake import Intake
from plugin.queue.ledger import Ledger
from plugin.queue.recipe import recipe
from plugin.queue.urgent import is_urgent
from plugin.settings import Settings, SettingsError, read_settings
from tests.dicom_factory import xray_dataset
from tests.fake_pacs import FakeOrthanc
from tests.intakes import intake_of


def _settings(*rules: Any) -> Settings:
    return read_settings({"ChestAI": {"Urgent": list(rules)}})


def _urgent(tags: dict[str, Any], *rules: Any) -> bool:
    return is_urgent(tags, _settings(*rules).urgent)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"RequestedProcedurePriorit": ["STAT"]}, "is RequestedProcedurePriority meant?"),
        ({"(0040,1003)": ["STAT"]}, "is no keyword of a DICOM attribute"),
        ({"RequestAttributesSequence": ["STAT"]}, "has no value that a word could be compared with"),
        ({"PixelData": ["*"]}, "has no value that a word could be compared with"),
        ({"StudyDescription": []}, "at least 1 item"),
        ({"StudyDescription": [""]}, "at least 1 character"),
        ({"StudyDescription": ["x" * 65]}, "at most 64 characters"),
        ({"StudyDescription": "STAT"}, "valid tuple"),
        ({}, "at least 1 item"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(rule: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        _settings({"Modality": ["CT"]}, rule)
    assert str(refused.value).startswith("ChestAI.Urgent.1")
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("tags", "urgent"),
    [
        ({"RequestedProcedurePriority": "STAT"}, True),
        ({"RequestedProcedurePriority": "stat "}, True),
        ({"RequestedProcedurePriority": "STATE"}, False),
        ({"RequestedProcedurePriority": ""}, False),
        ({"StationName": "ER2", "Modality": "CT"}, True),
        ({"StationName": "ER2", "Modality": "DX"}, False),
        ({"StationName": "ER23", "Modality": "CT"}, False),
        ({"ImageType": "ORIGINAL\\PRIMARY\\TRAUMA"}, True),
        ({"RequestAttributesSequence": [{"ScheduledProcedureStepDescription": "Chest, stat!"}]}, True),
        ({"RequestAttributesSequence": "STAT"}, False),
        ({"PatientName": "STAT"}, False),
        ({}, False),
    ],
)
def test_a_series_is_urgent_where_all_of_one_rule_fits(tags: dict[str, Any], urgent: bool) -> None:
    rules: list[dict[str, list[str]]] = [
        {"RequestedProcedurePriority": ["STAT", "HIGH"]},
        {"StationName": ["er?"], "Modality": ["CT"]},
        {"ImageType": ["TRAUMA"]},
        {"ScheduledProcedureStepDescription": ["*stat*"]},
    ]
    assert _urgent(tags, *rules) is urgent
    assert not _urgent(tags), "without a rule nothing is"


def test_no_pattern_hangs() -> None:
    began = time.monotonic()
    assert not _urgent({"StudyComments": "a" * 100_000}, {"StudyComments": ["*a" * 31 + "*b"]})
    assert time.monotonic() - began < 1


def test_the_rule_shapes_no_result() -> None:
    with_, without = _settings({"StationName": ["ER*"]}), _settings()
    for modality in Modality:
        assert recipe(Lineup(), with_, modality) == recipe(Lineup(), without, modality)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    yield opened
    opened.close()


def _intake(fake: FakeOrthanc, ledger: Ledger, *rules: Any) -> Intake:
    return intake_of(fake, ledger, _settings(*rules))


def _film(**attributes: Any) -> bytes:
    return as_file(xray_dataset(np.zeros((64, 64), np.uint16), **attributes))


def test_the_intake_asks_the_rule_and_no_orthanc_without_one(fake: FakeOrthanc, ledger: Ledger) -> None:
    routine = fake.add(_film(PatientID="1"))
    _intake(fake, ledger).catch_up()
    assert not any("simplified-tags" in call for call in fake.calls)
    urgent = fake.add(_film(PatientID="2", StudyDescription="Chest STAT"))
    _intake(fake, ledger, {"StudyDescription": ["*stat"]}).catch_up()
    taken = [ledger.claim(), ledger.claim()]
    assert [entry.series for entry in taken if entry] == [urgent, routine]


def test_a_file_that_cannot_be_looked_into_is_read_in_its_turn(
    fake: FakeOrthanc, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    series = fake.add(_film(PatientID="3", PatientName="Silva^Mary", StudyDescription="STAT"))
    fake.before("GET", r"/instances/.*/simplified-tags", lambda: fake.refuse(words="Silva^Mary"))
    with caplog.at_level(logging.DEBUG):
        _intake(fake, ledger, {"StudyDescription": ["STAT"]}).catch_up()
    entry = ledger.claim()
    assert entry is not None
    assert (entry.series, entry.ahead) == (series, False)
    assert "Silva" not in caplog.text
