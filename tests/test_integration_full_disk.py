"""The disk of Orthanc's storage is full, the ledger's is not: series wait for room, and Orthanc lives."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.soak.disk import fill, small_disk
from plugin.domain.errors import NoRoom
from plugin.engine_settings import OrthancAccess
from plugin.orthanc_api import OrthancApi
from tests.conftest import StartPacs
from tests.dicom_factory import as_file
from tests.pacs_client import all_results, settled, status, wait_ready, wait_until
from tests.test_worker import film


@pytest.fixture(params=["ext4", "tmpfs"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A disk of its own for Orthanc's files. Skips where nothing may be mounted."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk to fill up")
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(small_disk(tmp_path / "disk", request.param))
        except OSError as error:
            pytest.skip(str(error))
        yield folder


def test_series_wait_for_room_and_are_done_when_there_is_some(
    orthanc_server: StartPacs, disk: Path, synthetic: dict[str, list[Path]]
) -> None:
    quick = {"RetrySeconds": 0.2, "PollSeconds": 1}
    pacs = orthanc_server(orthanc={"StorageDirectory": str(disk)}, chest_ai=quick)
    assert wait_ready(pacs)["state"] == "ready"
    pacs.store([*synthetic["xray"], *synthetic["small_ct"]])
    filler = fill(disk)
    told = wait_until(lambda: status(pacs)["reason"], seconds=120, what="why nothing is stored")
    assert f"Orthanc has no room for results: the disk of {disk} is full" in told
    assert status(pacs)["state"] == "degraded"
    with pytest.raises(NoRoom):  # as a worker elsewhere would be told
        _remote(pacs.url).store(as_file(film()))
    time.sleep(3)
    assert status(pacs)["running"][0]["stage"] == "store"
    assert status(pacs)["counts"]["failed"] == 0
    assert pacs.exit_status is None
    filler.unlink()
    entries = settled(pacs, 2)
    assert {(entry["state"], entry["attempts"]) for entry in entries.values()} == {("done", 1)}
    assert {kind: len(found) for kind, found in all_results(pacs).items()} == {
        "SR": 2,
        "DOC": 2,
        "SEG": 1,
        "OT": 1,
    }
    assert status(pacs)["state"] == "ready"
    pacs.stop()


def _remote(url: str) -> OrthancApi:
    http = pytest.importorskip("plugin.remote.http", reason="Celery is not installed", exc_type=ImportError)
    access = OrthancAccess.model_validate({"Url": url})
    return http.RemotePacs(access, identity="site", series_metadata=4207, max_instance_mb=1)
