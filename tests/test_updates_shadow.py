"""A newer version as a shadow, in a plugin that reads CTs in an Orthanc in memory; then in use, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from results_factory import classification, ct_findings

from plugin import pipelines
from plugin.domain.findings import Findings
from plugin.domain.kinds import Modality, State
from plugin.domain.outcome import KeptVerdict, Outcome, kept_findings
from plugin.pipelines.reading import Reading, Request
from plugin.service import Service
from plugin.settings import read_settings
from plugin.updates.shadow import compared, summary
from plugin.web.access import Guard
from plugin.web.routes import HttpRequest, respond
from tests.fake_pacs import FakeOrthanc
from tests.hospital import NAME, Site, model
from tests.test_pipelines_ct_segment import phantom_files
from tests.test_worker import until


def _phantom(number: int) -> list[bytes]:
    """A CT with a solid of 400 HU, which is a finding of every version from 220 HU on."""
    files = phantom_files(np.arange(0, 190, 5.0), series=f"1.2.3.{number}", solid=400)
    return [files.read(identity) for identity in files.instance_ids]


@pytest.fixture
def running(fake: FakeOrthanc, site: Callable[..., Site]) -> Iterator[Callable[..., tuple[Site, Service]]]:
    """A hospital and its running plugin, which looks into the channel every half second."""
    services: list[Service] = []

    def start(**choice: Any) -> tuple[Site, Service]:
        here = site(ChannelHours=0.5 / 3600, **choice)
        section = {
            "ModelsFolder": str(here.models),
            "Models": here.choice,
            "Provider": "cpu",
            "Niceness": 0,
            "PollSeconds": 0.2,
            "Ct": {"MinPixels": 64},
            "BacklogDays": 10_000,
        }
        settings = read_settings({"ChestAI": section})
        url = f"sqlite:///{here.folder / 'ledger.sqlite'}"
        services.append(Service(fake.pacs, settings, ledger_url=url, stable_age=0.1))
        services[-1].start()
        until(lambda: services[-1].status()["state"] != "starting", "it goes on starting", 60)
        return here, services[-1]

    yield start
    for service in services:
        service.stop()


def _update(service: Service) -> dict[str, Any]:
    (card,) = service.cards()
    return dict(card["update"] or {})


def _done(service: Service, count: int) -> bool:
    return service.status()["counts"]["done"] == count


def _ask(service: Service, path: str) -> tuple[int, Any]:
    return respond(service, Guard(any_host=False), HttpRequest(method="POST", path=path))


def test_ten_series_by_a_shadow_then_promotion_and_the_way_back(
    fake: FakeOrthanc, running: Callable[..., tuple[Site, Service]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plugin.updates.updater._STEP_SECONDS", 0.05)
    here, service = running(ShadowSeries=10)
    here.publish("1.1.0", least=1000.0)  # finds nothing where the current one finds the solid
    until(lambda: _update(service).get("state") == "shadow", "no shadow", 30)
    for number in range(10):
        fake.add(*_phantom(number))
    until(lambda: _done(service, 10), "ten series are not read", 120)
    until(lambda: _update(service).get("state") == "offered", "the shadow does not end", 120)
    told = _update(service)
    assert told["version"] == "1.1.0"
    assert told["comparison"]["series"] == told["comparison"]["accepted_alike"] == 10
    current, shadow = told["comparison"]["percent_mean"]
    assert current > 1
    assert shadow == 0
    # Nothing of a shadow is in any result, nor in what is stored.
    assert service.ledger is not None
    for entry in service.ledger.entries(state=State.DONE, since=0, limit=20):
        assert "1.1.0" not in json.dumps(entry.outcome)
    results = fake.instances(Modality="SEG")
    assert len(results) == 10

    status, cards = _ask(service, f"models/{NAME}/install")
    assert (status, cards[0]["version"], cards[0]["update"]) == (
        200,
        "1.1.0",
        {"before": "1.0.0"},
    )
    fake.add(*_phantom(11))
    until(lambda: _done(service, 11), "the next series is not read", 60)
    latest = service.ledger.entries(state=State.DONE, since=0, limit=1)[0]
    assert latest.outcome["findings"]["lungs"]["both"]["findings_ml"] == 0
    assert latest.outcome["models"][0]["version"] == "1.1.0"

    status, cards = _ask(service, f"models/{NAME}/back")
    assert (status, cards[0]["version"]) == (200, "1.0.0")
    status, answer = _ask(service, f"models/{NAME}/back")
    assert (status, answer) == (409, {"error": "there is no version of slices before the one in use"})
    assert _ask(service, "models/another/install")[0] == 404
    status, cards = _ask(service, f"models/{NAME}/install/1.1.0")
    assert (status, cards[0]["version"]) == (200, "1.1.0")


def test_by_setting_it_is_installed_without_a_word_but_not_where_it_failed(
    fake: FakeOrthanc, running: Callable[..., tuple[Site, Service]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plugin.updates.updater._STEP_SECONDS", 0.05)
    here, service = running(ShadowSeries=1, ChannelInstall="auto")
    here.publish("1.1.0")
    until(lambda: _update(service).get("state") == "shadow", "no shadow", 30)

    really = pipelines.read

    def fails(modality: Modality, request: Request) -> Reading:
        """As ever, but for a shadow, which makes no results."""
        if not request.settings.results.sr:
            raise RuntimeError("it cannot read this")
        return really(modality, request)

    with monkeypatch.context() as patched:
        patched.setattr("plugin.updates.shadow.pipelines.read", fails)
        fake.add(*_phantom(1))
        until(lambda: "refused" in _update(service), "the failure is not told", 60)
    assert "failed on a series as a shadow" in _update(service)["refused"]
    assert service.cards()[0]["version"] == "1.0.0"
    here.publish("1.2.0")
    until(lambda: _update(service).get("version") == "1.2.0", "the next version is no shadow", 30)
    fake.add(*_phantom(2))
    until(lambda: service.cards()[0]["version"] == "1.2.0", "it is not installed", 60)


def test_without_a_channel_there_is_nothing_to_install(fake: FakeOrthanc, tmp_path: Path) -> None:
    model(tmp_path, "1.0.0")
    settings = read_settings({"ChestAI": {}})
    service = Service(fake.pacs, settings, ledger_url=f"sqlite:///{tmp_path / 'l'}", stable_age=1)
    assert _ask(service, f"models/{NAME}/install")[0] == 409


def test_a_classifiers_probabilities_and_calls_stand_side_by_side() -> None:
    def findings(probability: float) -> Findings:
        said = (classification(probability=probability), classification("ct-sagittal", "sagittal", 0.41))
        return replace(ct_findings(), classifications=said)

    outcome = Outcome(
        state=State.DONE,
        series="s",
        verdict=KeptVerdict(accepted=True),
        findings=kept_findings(findings(0.83)),
    )
    both = [
        compared("ct-axial", outcome, accepted=True, findings=findings(probability), seconds=1.0)
        for probability in (0.79, 0.12)
    ]
    assert both[0] == {
        "series": "s",
        "accepted": [True, True],
        "seconds": 1.0,
        "called": [True, True],
        "probability": [0.83, 0.79],
    }
    rejected = compared("ct-axial", outcome, accepted=False, findings=None, seconds=0.5)
    assert rejected == {"series": "s", "accepted": [True, False], "seconds": 0.5}
    assert summary([*both, rejected, {"series": "t", "failed": "why"}]) == {
        "series": 4,
        "failed": 1,
        "accepted_alike": 2,
        "accepted": [3, 2],
        "called_alike": 1,
        "called": [2, 1],
        "probability_mean": [0.83, 0.455],
        "probability_largest_difference": 0.71,
    }
