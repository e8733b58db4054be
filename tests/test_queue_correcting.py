"""Segmentations that come back from a viewer: picked up by the intake, kept, told on the route."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from results_factory import header
from test_results_seg_edited import CORRECTED, FOUND, LUNGS, exported, own

from plugin.queue.correcting import Correcting
from plugin.queue.labelling import Labelling
from plugin.queue.ledger import Ledger
from plugin.result_settings import Labels
from plugin.service import Service
from plugin.settings import read_settings
from plugin.web.access import Guard
from plugin.web.routes import HttpRequest, respond
from tests.fake_pacs import FakeOrthanc
from tests.test_web_worklist import OUTCOME, entered

ALL = {"Right lung": LUNGS == 1, "Left lung": LUNGS == 2, "Opacities in the lungs": CORRECTED & (LUNGS > 0)}


def file(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def edited(uid: str = "1.2.3.6", masks: Any = None, **values: Any) -> bytes:
    """An edited Segmentation in the study of the synthetic CT."""
    dataset = exported(masks or ALL)
    dataset.PatientID, dataset.ContentCreatorName = "P-1", "Silva^Mary"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
    dataset.SeriesInstanceUID = f"{uid}.1"
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return file(dataset)


class Study:
    """A study with a CT that was read, its Segmentation stored."""

    def __init__(self, fake: FakeOrthanc, folder: Path) -> None:
        self.fake = fake
        fake.has_labels = True
        source = header(1)
        source.file_meta.MediaStorageSOPClassUID = source.SOPClassUID
        source.file_meta.MediaStorageSOPInstanceUID = source.SOPInstanceUID
        self.ct = fake.add(file(source))
        self.seg = fake.pacs.store(file(own(FOUND)))
        url = f"sqlite:///{folder / 'ledger.sqlite'}"
        self.service = Service(fake.pacs, read_settings({}), ledger_url=url, stable_age=1)
        self.ledger = self.service.ledger = Ledger(url)
        outcome = OUTCOME | {"outputs": {"seg": self.seg}}
        row = {"series": self.ct, "modality": "ct", "state": "done", "updated_at": 1.0, "outcome": outcome}
        entered(self.ledger, [row])

    def send(self, segmentation: bytes) -> None:
        """Let a viewer store a Segmentation, and the intake tell of it."""
        record = self.fake.pacs.series(self.fake.add(segmentation))
        Correcting(self.fake.pacs, self.ledger, Labelling(self.fake.pacs, self.ledger, Labels())).notice(
            record
        )

    @property
    def corrections(self) -> list[dict[str, Any]]:
        request = HttpRequest(method="GET", path=f"series/{self.ct}")
        return list(respond(self.service, Guard(any_host=True), request)[1]["corrections"])


@pytest.fixture
def study(fake: FakeOrthanc, tmp_path: Path) -> Iterator[Study]:
    study = Study(fake, tmp_path)
    yield study
    study.ledger.close()


def test_a_corrected_segmentation_is_measured_and_told(study: Study) -> None:
    study.send(edited())
    (said,) = study.corrections
    assert (said["by"], said["made_with"], said["current"]) == ("Silva^Mary", "OHIF Viewer", True)
    expected = float((CORRECTED & (LUNGS == 1)).sum()) * 0.15
    assert said["lungs"]["right"]["findings_ml"] == pytest.approx(expected, abs=0.1)
    assert "ai-reviewed" in study.fake.pacs.labels("series", study.ct)


def test_once_told_twice_changes_nothing_and_the_latest_comes_first(study: Study) -> None:
    study.send(edited())
    study.send(edited())
    assert len(study.corrections) == 1
    study.send(edited("1.2.3.7", {"Opacities in the lungs": CORRECTED}))
    assert len(study.corrections) == 2
    latest = study.fake.file(study.corrections[0]["segmentation"])
    assert latest.SOPInstanceUID == "1.2.3.7"
    study.fake.delete(study.corrections[0]["segmentation"])
    assert len(study.corrections) == 1


def test_what_cannot_be_measured_is_told_with_the_reason(study: Study) -> None:
    study.fake.delete(study.seg)
    study.send(edited(masks={"Opacities in the lungs": CORRECTED}))
    (said,) = study.corrections
    assert said["lungs"] is None
    assert "both lungs" in said["reason"]


def test_others_are_passed_over(study: Study, caplog: pytest.LogCaptureFixture) -> None:
    study.send(edited(masks={"Tumour": CORRECTED}))
    study.send(edited("1.2.3.8", ReferencedSeriesSequence=[]))
    study.send(edited("1.2.3.9")[:-2000])
    spoiled = pydicom.dcmread(io.BytesIO(edited("1.2.3.10")))
    del spoiled.PerFrameFunctionalGroupsSequence
    study.send(file(spoiled))
    record = study.fake.pacs.series(study.fake.pacs.parent_series(study.seg))
    labelling = Labelling(study.fake.pacs, study.ledger, Labels())
    Correcting(study.fake.pacs, study.ledger, labelling).notice(record)  # the plugin's own
    assert study.corrections == []
