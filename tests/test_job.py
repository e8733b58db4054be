"""One series from claim to settlement, on an Orthanc in memory; above all what happens when it fails."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import FileDataset

from plugin.models.lineup import Lineup
from plugin.pipelines.reading import Stages
from plugin.queue.job import Job
from plugin.queue.ledger import Entry, Ledger, State
from plugin.settings import SECTION, Settings, read_settings
from tests.dicom_factory import as_file, xray_dataset
from tests.fake_pacs import FakeOrthanc


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    yield opened
    opened.close()


def _settings(**section: object) -> Settings:
    return read_settings({SECTION: {"Results": {"RejectionSr": True}, **section}})


def _hip(**attributes: object) -> FileDataset:
    """A film that the header rules reject, so that it is read without a network, with an SR."""
    pixels = np.zeros((512, 512), np.uint16)
    return xray_dataset(pixels, **{"BodyPartExamined": "HIP", "StudyDate": "20240516", **attributes})


def _claim(ledger: Ledger, series: str) -> Entry:
    ledger.request(series, "xray")
    entry = ledger.claim()
    assert entry is not None
    return entry


def _run(fake: FakeOrthanc, ledger: Ledger, entry: Entry, settings: Settings | None = None) -> None:
    stages = Stages(lambda _stage, _progress: None)
    Job(fake.pacs, ledger, Lineup(), settings or _settings(), stages).run(entry)


def test_a_rejected_film_is_settled_with_its_report(fake: FakeOrthanc, ledger: Ledger) -> None:
    series = fake.add(as_file(_hip()))
    before = time.time()
    _run(fake, ledger, _claim(ledger, series))
    entry = ledger.get(series)
    assert entry is not None
    assert entry.state is State.REJECTED
    assert entry.outcome is not None
    (report,) = fake.instances(Modality="SR")
    assert entry.outcome["outputs"] == {"sr": report, "seg": None, "pdf": None, "attention": None}
    assert "body_part" in [remark["code"] for remark in entry.outcome["verdict"]["reasons"]]
    assert before - 1 <= entry.updated_at <= time.time()
    assert fake.metadata(series)


def test_a_report_that_is_refused_leaves_the_series_open(fake: FakeOrthanc, ledger: Ledger) -> None:
    series = fake.add(as_file(_hip()))
    fake.before("POST", "/instances", fake.refuse)
    with pytest.raises(OSError, match="storage is full"):
        _run(fake, ledger, _claim(ledger, series))
    entry = ledger.get(series)
    assert entry is not None
    assert entry.state is State.RUNNING
    assert not fake.metadata(series)


def test_a_series_that_is_gone_is_forgotten(fake: FakeOrthanc, ledger: Ledger) -> None:
    series = fake.add(as_file(_hip()))
    entry = _claim(ledger, series)
    fake.delete(series)
    _run(fake, ledger, entry)
    assert ledger.get(series) is None
