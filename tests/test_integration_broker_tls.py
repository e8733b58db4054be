"""RabbitMQ over TLS alone, with certificates on both sides: read end to end, and refused where it must be."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo.client import wait_until_loaded
from demo.fleet.rabbitmq import Tls
from demo.fleet.site import Site, why_not
from demo.soak.series import Factory, Series
from tests.certificates import Authority, Pair

pytest.importorskip("celery", reason="the engine celery is not installed")

HOST = "127.0.0.1"


class Hospital:
    """A site whose broker shows whatever certificate it is given."""

    def __init__(self, folder: Path, synthetic: dict[str, list[Path]]) -> None:
        self.authority = Authority(folder / "own")
        self.stranger = Authority(folder / "stranger", "Somebody else")
        self.tls = Tls(
            authority=self.authority.file, certificate=folder / "server.pem", key=folder / "server.key"
        )
        self._put(self.authority.issue(HOST))
        own = self.authority.issue("workers")
        celery = {
            "CaFile": str(self.authority.file),
            "CertificateFile": str(own.certificate),
            "KeyFile": str(own.key),
        }
        self.site = Site(folder / "site", chest_ai={"Celery": celery}, tls=self.tls)
        self._factory = Factory(xray=synthetic["xray"][0], ct=synthetic["ct"], folder=folder / "sent", seed=1)
        self._made = 0

    def show(self, pair: Pair) -> None:
        """Start the broker again with another certificate."""
        self.site.rabbit.kill()
        self._put(pair)
        self.site.rabbit.start()

    def send(self) -> Series:
        """Send an X-ray that was not sent before."""
        self._made += 1
        series = self._factory.make(self._made, "xray")
        for file in series.files:
            self.site.orthanc.post("/instances", file.read_bytes())
        return series

    def states(self) -> list[str]:
        """The states of all series."""
        return [entry["state"] for entry in self.site.orthanc.get("/ai/series")]

    def reason(self) -> str:
        """Why the status is not ready."""
        return str(self.site.orthanc.get("/ai/status")["reason"])

    def _put(self, pair: Pair) -> None:
        shutil.copy(pair.certificate, self.tls.certificate)
        shutil.copy(pair.key, self.tls.key)


@pytest.fixture
def hospital(synthetic: dict[str, list[Path]], tmp_path: Path) -> Iterator[Hospital]:
    missing = why_not()
    if missing:
        pytest.skip(missing)
    made = Hospital(tmp_path, synthetic)
    yield made
    made.site.remove()


def _until(condition: Callable[[], object], what: Callable[[], str], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.2)


def test_a_series_is_read_over_tls_and_not_over_an_expired_certificate(hospital: Hospital) -> None:
    site = hospital.site
    site.start()
    wait_until_loaded(site.orthanc)
    worker = site.start_worker("anna")
    hospital.send()
    _until(lambda: hospital.states() == ["done"], site.logs)
    assert site.orthanc.get("/ai/status")["state"] == "ready"
    hospital.show(hospital.authority.issue(HOST, days=-1))
    hospital.send()
    expired = "the broker is not trusted: its certificate, or that of its authority, has expired"
    _until(lambda: hospital.reason() == expired, site.logs)
    _until(lambda: expired in worker.log.read_text(), site.logs)
    _until(lambda: sorted(hospital.states()) == ["done", "waiting"], site.logs)
    assert worker.exit_status is None
    hospital.show(hospital.authority.issue(HOST))
    _until(lambda: hospital.states() == ["done", "done"], site.logs)
    assert site.orthanc.get("/ai/status")["state"] == "ready"
