"""What Orthanc says has come and gone, written to the ledger; on an Orthanc in memory."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from pydicom.uid import generate_uid

from plugin.domain.errors import NoCandidate, NotHeld
from plugin.models.lineup import Lineup
from plugin.pipelines.reading import Stages
from plugin.queue.intake import Intake
from plugin.queue.job import Job
from plugin.queue.ledger import Ledger, State
from plugin.queue.outcome import entry_json
from plugin.settings import Settings, read_settings
from tests.dicom_factory import as_file, ct_series, xray_dataset
from tests.fake_pacs import FakeOrthanc
from tests.intakes import intake_of


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    yield opened
    opened.close()


def _settings(**section: Any) -> Settings:
    return read_settings({"ChestAI": {"Results": {"RejectionSr": "all"}, **section}})


def _intake(fake: FakeOrthanc, ledger: Ledger, settings: Settings | None = None) -> Intake:
    return intake_of(fake, ledger, settings or _settings())


def _hip(**attributes: Any) -> bytes:
    """A film that the header rules reject, so that it needs no network."""
    return as_file(xray_dataset(np.zeros((512, 512), np.uint16), BodyPartExamined="HIP", **attributes))


def _read_all(fake: FakeOrthanc, ledger: Ledger) -> list[str]:
    done = []
    while (entry := ledger.claim()) is not None:
        stages = Stages(lambda _stage, _progress: None)
        Job(fake.pacs, ledger, Lineup(), _settings(), stages).run(entry)
        done.append(entry.series)
    return done


@pytest.mark.parametrize(("setting", "left"), [("delete", 0), ("keep", 1)])
def test_a_deleted_series_takes_its_results_along_or_not(
    fake: FakeOrthanc, ledger: Ledger, setting: str, left: int
) -> None:
    series = fake.add(_hip())
    intake = _intake(fake, ledger, _settings(SourceDeleted=setting))
    intake.catch_up()
    assert _read_all(fake, ledger) == [series]
    (instance,) = fake.pacs.series(series).instances
    fake.delete(series)
    intake.deleted([instance, series])
    assert ledger.get(series) is None
    assert len(fake.instances(Modality="SR")) == left


def test_a_series_that_is_held_again_is_not_forgotten(fake: FakeOrthanc, ledger: Ledger) -> None:
    film = _hip()
    series = fake.add(film)
    intake = _intake(fake, ledger)
    intake.catch_up()
    _read_all(fake, ledger)
    fake.delete(series)
    fake.add(film)
    intake.deleted([series])
    assert ledger.get(series) is not None
    assert len(fake.instances(Modality="SR")) == 1


def test_a_series_that_is_being_read_is_looked_at_after_its_reading(
    fake: FakeOrthanc, ledger: Ledger
) -> None:
    series = fake.add(_hip())
    intake = _intake(fake, ledger)
    intake.catch_up()
    assert ledger.claim() is not None
    fake.delete(series)
    intake.deleted([series])
    entry = ledger.get(series)
    assert entry is not None
    assert entry.state is State.WAITING
    _read_all(fake, ledger)
    assert ledger.get(series) is None


def test_a_series_that_lost_slices_is_read_again(fake: FakeOrthanc, ledger: Ledger) -> None:
    slices = ct_series(BodyPartExamined="HIP")
    series = fake.add(*map(as_file, slices))
    intake = _intake(fake, ledger)
    intake.catch_up()
    assert _read_all(fake, ledger) == [series]
    (before,) = fake.instances(Modality="SR")
    lost = fake.instances(InstanceNumber="3")[0]
    fake.delete(lost)
    intake.deleted([lost])
    assert _read_all(fake, ledger) == [series]
    (after,) = fake.instances(Modality="SR")
    assert after != before
    spoken_of = {e.value for e in fake.file(after).iterall() if e.keyword == "ReferencedSOPInstanceUID"}
    assert slices[2].SOPInstanceUID not in spoken_of


def test_a_deleted_result_is_gone_and_not_made_again(fake: FakeOrthanc, ledger: Ledger) -> None:
    series = fake.add(_hip())
    intake = _intake(fake, ledger)
    intake.catch_up()
    _read_all(fake, ledger)
    (report,) = fake.instances(Modality="SR")
    fake.delete(report)
    intake.deleted([report])
    intake.catch_up()
    assert _read_all(fake, ledger) == []
    entry = ledger.get(series)
    assert entry is not None
    shown = entry_json(entry, fake.pacs.has_instance)
    assert shown["outputs"] == dict.fromkeys(("sr", "seg", "pdf", "attention", "key_images"))
    assert shown["gone"] == [report]
    ledger.request(series, "xray")
    _read_all(fake, ledger)
    assert fake.instances(Modality="SR") == [report]
    entry = ledger.get(series)
    assert entry is not None
    assert entry_json(entry, fake.pacs.has_instance)["gone"] == []


def test_a_late_copy_of_a_result_makes_its_study_be_looked_at(fake: FakeOrthanc, ledger: Ledger) -> None:
    series = fake.add(_hip())
    intake = _intake(fake, ledger)
    intake.catch_up()
    _read_all(fake, ledger)
    (current,) = fake.instances(Modality="SR")
    late = copy.deepcopy(fake.file(current))
    late.SeriesInstanceUID = generate_uid()
    late.SOPInstanceUID = late.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    fake.add(as_file(late))
    intake.catch_up()
    assert _read_all(fake, ledger) == [series]
    assert fake.instances(Modality="SR") == [current]
    intake.catch_up()
    assert _read_all(fake, ledger) == [], "own results make no series be looked at"


def test_a_file_without_modality_or_class_is_no_candidate(fake: FakeOrthanc, ledger: Ledger) -> None:
    intake = _intake(fake, ledger)
    with pytest.raises(NoCandidate):
        intake.modality(fake.add(_hip(Modality=None, SOPClassUID=None)))
    with pytest.raises(NoCandidate):
        intake.modality(fake.add(_hip(Modality="DY")))
    with pytest.raises(NotHeld):
        intake.modality("0" * 44)


def test_an_unexpected_answer_does_not_forget(fake: FakeOrthanc, ledger: Ledger) -> None:
    series = fake.add(_hip())
    intake = _intake(fake, ledger)
    intake.catch_up()
    fake.before("GET", f"/series/{series}", lambda: b"{}")
    with pytest.raises(KeyError):
        intake.deleted([series])
    assert ledger.get(series) is not None


def test_a_deletion_of_the_newest_is_no_new_beginning_of_the_changes(
    fake: FakeOrthanc, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    # Orthanc drops the changes of what it deletes, so that its last change goes back (seen on 1.10.1).
    fake.add(_hip())
    newest = fake.add(_hip(PatientID="ANOTHER"))
    intake = _intake(fake, ledger)
    intake.catch_up()
    fake.delete(newest)
    intake.catch_up()
    assert "begin anew" not in caplog.text


def test_a_ledger_at_rest_is_not_written_to(fake: FakeOrthanc, ledger: Ledger) -> None:
    fake.add(_hip())
    intake = _intake(fake, ledger)
    intake.catch_up()
    _read_all(fake, ledger)
    intake.catch_up()
    asked: list[str] = []
    sa.event.listen(ledger._engine, "before_cursor_execute", lambda *event: asked.append(event[2]))
    intake.catch_up()
    assert "BEGIN" in asked
    assert "BEGIN IMMEDIATE" not in asked
