"""Fixtures shared by the tests: the folder of real images, and a real Orthanc with the plugin."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from site import getsitepackages
from typing import TYPE_CHECKING, Any

import pytest
import requests

from demo.fleet.postgres import PostgresServer, binaries
from demo.fleet.rabbitmq import RabbitServer, program
from demo.phantom.files import write_studies
from demo.send import c_store, read_header
from demo.server import ORTHANC, ROOT, OrthancServer
from tests.fake_pacs import FakeOrthanc

if TYPE_CHECKING:
    from tests.hospital import Site

DATA = Path(os.environ.get("CHEST_AI_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real images. Skips where there is none."""
    if not DATA.is_dir():
        pytest.skip(f"no folder of real images at {DATA} (set CHEST_AI_DATA)")
    return DATA


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """The demo's own studies: ``xray``, ``ct``, and ``small_ct``, every third slice of the CT."""
    folder = tmp_path_factory.mktemp("synthetic")
    write_studies(folder)
    slices = sorted((folder / "ct").glob("*.dcm"))
    return {
        "xray": sorted((folder / "xray").glob("*.dcm")),
        "ct": slices,
        "small_ct": slices[::3],
    }


class Pacs(OrthancServer):
    """An Orthanc with the plugin, as the tests talk to it: with requests, and by C-STORE."""

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Any request to Orthanc, whatever its status; a path such as ``/ai/status``."""
        return requests.request(method, self.url + path, timeout=120, **options)

    def configure(self, *, chest_ai: Mapping[str, Any]) -> None:
        """Change the plugin's section; it holds from the next start."""
        path = self.data / "orthanc.json"
        configuration = json.loads(path.read_text())
        path.write_text(json.dumps(configuration | {"ChestAI": dict(chest_ai)}))

    def upload(self, files: Sequence[Path]) -> None:
        """Send DICOM files over HTTP, whatever is in them. Fails the test where one is refused."""
        for file in files:
            answer = self.request("POST", "/instances", data=file.read_bytes())
            assert answer.status_code == 200, f"{file.name}: {answer.text}"

    def store(self, files: Sequence[Path]) -> None:
        """Send DICOM files by C-STORE. Fails the test where one does not arrive."""
        headers = [read_header(file) for file in files]
        unsent = c_store([header for header in headers if header is not None], self.dicom_port)
        assert None not in headers, "not every file is DICOM"
        assert not unsent, unsent


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeOrthanc:
    """An empty Orthanc in memory, which ``plugin.pacs`` talks to for the length of a test."""
    orthanc = FakeOrthanc()
    monkeypatch.setitem(sys.modules, "orthanc", orthanc)
    monkeypatch.delitem(sys.modules, "plugin.pacs", raising=False)
    return orthanc


StartPacs = Callable[..., Pacs]


@pytest.fixture
def orthanc_server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[StartPacs]:
    """A factory of running Orthancs with the plugin, each over a folder and ports of its own.

    ``orthanc_server(chest_ai={...}, orthanc={...}, stable_age=2)``; ``chest_ai`` is the plugin's section.
    Whatever still runs at the end is killed; where the test failed, the logs are shown.
    """
    if not Path(ORTHANC).exists():
        pytest.skip("Orthanc is not installed")
    started: list[Pacs] = []

    def start(
        *,
        chest_ai: Mapping[str, Any] | None = None,
        orthanc: Mapping[str, Any] | None = None,
        stable_age: int = 2,
    ) -> Pacs:
        folder = tmp_path / f"pacs{len(started)}"
        pacs = Pacs(folder, stable_age=stable_age, chest_ai=chest_ai, orthanc=orthanc)
        started.append(pacs)
        pacs.start()
        return pacs

    yield start
    for pacs in started:
        pacs.kill()
        if request.node.stash.get(_FAILED, False):
            print(f"--- {pacs.log}\n{pacs.log_tail(80)}")


def with_driver(folder: Path) -> Path:
    """A script for Orthanc that finds psycopg as the tests have it; a site installs it beside the plugin."""
    script = folder / "with_driver.py"
    script.write_text(
        "import sys\n"
        f"sys.path[:0] = {[str(ROOT), *getsitepackages()]!r}\n"
        "from plugin.main import register\n"
        "register()\n"
    )
    return script


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """A running PostgreSQL of the tests' own. Skips where its server or its driver is not installed."""
    pytest.importorskip("psycopg")
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL's server is not installed")
    server = PostgresServer(programs)
    server.start()
    yield server
    server.remove()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Makes a hospital with a channel of models and settings of its own; its server ends with the test."""
    from tests.hospital import Site as Hospital

    made: list[Site] = []

    def make(**choice: Any) -> Site:
        made.append(Hospital(tmp_path, **choice))
        return made[-1]

    yield make
    for one in made:
        one.server.shutdown()
        one.server.server_close()


@pytest.fixture(scope="module")
def rabbit() -> Iterator[RabbitServer]:
    """A running RabbitMQ of the tests' own. Skips where its server or Celery is not installed."""
    pytest.importorskip("celery")
    script = program()
    if script is None:
        pytest.skip("RabbitMQ is not installed")
    server = RabbitServer(script)
    server.start()
    yield server
    server.remove()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What drives a real Orthanc comes first: it takes longest, and nothing else should wait for it at the
    end, where the last files run one after another."""
    items.sort(key=lambda item: not item.path.name.startswith("test_integration_"))


_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember on the test itself that it failed, for fixtures that then show their logs."""
    report = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    return report
