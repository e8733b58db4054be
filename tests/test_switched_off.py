"""A modality for which the settings choose no model is switched off: nothing of it fails."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from plugin.domain.errors import NoCandidate
from plugin.models.lineup import Lineup
from plugin.pipelines.reading import Stages
from plugin.queue.job import Job
from plugin.queue.ledger import Ledger
from plugin.service import Service
from plugin.settings import Settings, read_settings
from tests.dicom_factory import as_file, xray_dataset
from tests.fake_pacs import FakeOrthanc
from tests.intakes import intake_of

FILM = as_file(xray_dataset(np.zeros((512, 512), np.uint16)))
WHY = "Models.Xray is empty"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    yield opened
    opened.close()


def _settings(**models: object) -> Settings:
    return read_settings({"ChestAI": {"Models": models}})


@pytest.mark.parametrize(
    ("models", "off"),
    [
        ({}, set()),
        ({"Xray": []}, {"xray"}),
        ({"Xray": [""]}, {"xray"}),
        ({"CtAxial": [], "CtSagittal": []}, set()),
        ({"CtAxial": [], "CtSagittal": [], "CtSegmentation": ""}, {"ct"}),
    ],
)
def test_without_models_a_modality_is_off(models: dict[str, object], off: set[str]) -> None:
    assert set(_settings(**models).switched_off) == off


def test_its_series_are_no_candidates(fake: FakeOrthanc, ledger: Ledger) -> None:
    intake = intake_of(fake, ledger, _settings(Xray=[]), stable_age=1, backlog_days=7)
    series = fake.add(FILM)
    intake.catch_up()
    assert ledger.get(series) is None
    with pytest.raises(NoCandidate, match=WHY):
        intake.modality(series)


def test_a_series_from_before_is_not_failed(fake: FakeOrthanc, ledger: Ledger) -> None:
    series = fake.add(FILM)
    ledger.request(series, "xray")
    entry = ledger.claim()
    assert entry is not None
    stages = Stages(lambda _stage, _progress: None)
    Job(fake.pacs, ledger, Lineup(), _settings(Xray=[]), stages).run(entry)
    assert ledger.get(series) is None


def test_the_status_says_so(fake: FakeOrthanc, tmp_path: Path) -> None:
    only_ct = {"Xray": [], "CtReject": "auto", "CtAxial": [], "CtSagittal": [], "CtSegmentation": "auto"}
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    service = Service(fake.pacs, _settings(**only_ct), ledger_url=url, stable_age=1)
    service.start()
    try:
        deadline = time.monotonic() + 60
        while service.status()["state"] != "ready":
            assert time.monotonic() < deadline, service.status()
            time.sleep(0.1)
        assert service.status()["modalities"] == {"xray": f"off: {WHY}", "ct": "read"}
        with pytest.raises(NoCandidate, match=WHY):
            service.request(fake.add(FILM))
    finally:
        service.stop()
