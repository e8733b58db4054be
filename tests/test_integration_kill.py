"""Kill -9 at the worst moments: after a restart every series ends with exactly one set of results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Pacs, StartPacs
from tests.pacs_client import all_results, settled, status, wait_ready, wait_until

ONE_SET = {"SR": 1, "DOC": 1, "SEG": 1, "OT": 0}


def _one_set(pacs: Pacs) -> bool:
    return {kind: len(found) for kind, found in all_results(pacs).items()} == ONE_SET


def _in_stage(pacs: Pacs, stage: str) -> Any:
    return any(running["stage"] == stage for running in status(pacs)["running"])


def test_killed_between_reception_and_stability(
    orthanc_server: StartPacs, synthetic: dict[str, list[Path]]
) -> None:
    pacs = orthanc_server(stable_age=3)
    wait_ready(pacs)
    pacs.store(synthetic["small_ct"])
    pacs.kill()
    pacs.start()
    (entry,) = settled(pacs, 1).values()
    assert entry["state"] == "done", entry
    assert _one_set(pacs)


def test_killed_in_the_middle_of_reception(
    orthanc_server: StartPacs, synthetic: dict[str, list[Path]]
) -> None:
    pacs = orthanc_server(stable_age=2)
    wait_ready(pacs)
    slices = synthetic["small_ct"]
    pacs.store(slices[: len(slices) // 2])
    pacs.kill()
    pacs.start()
    pacs.store(slices[len(slices) // 2 :])
    wait_until(
        lambda: [e for e in settled(pacs, 1).values() if e["state"] == "done"],
        seconds=240,
        what="the reading of the whole series",
    )
    assert _one_set(pacs)


@pytest.mark.parametrize("stage", ["decode", "segment", "store"])
def test_killed_while_it_is_read(
    orthanc_server: StartPacs, synthetic: dict[str, list[Path]], stage: str
) -> None:
    pacs = orthanc_server()
    wait_ready(pacs)
    pacs.store(synthetic["small_ct"])
    wait_until(lambda: _in_stage(pacs, stage), seconds=120, what=stage, pause=0.005)
    pacs.kill()
    pacs.start()
    (entry,) = settled(pacs, 1).values()
    assert entry["state"] == "done", entry
    assert entry["attempts"] == 2
    assert _one_set(pacs)
    held = {stored for found in all_results(pacs).values() for stored in found}
    assert held == {stored for stored in entry["outputs"].values() if stored}


def test_a_clean_stop_during_inference_is_quick_and_costs_no_attempt(
    orthanc_server: StartPacs, synthetic: dict[str, list[Path]]
) -> None:
    pacs = orthanc_server()
    wait_ready(pacs)
    pacs.store(synthetic["small_ct"])
    wait_until(lambda: _in_stage(pacs, "segment"), seconds=120, what="the segmentation", pause=0.02)
    pacs.stop()  # fails the test unless it ends with status 0
    pacs.start()
    (entry,) = settled(pacs, 1).values()
    assert (entry["state"], entry["attempts"]) == ("done", 1)
    assert _one_set(pacs)


def _kill_in_segmentation(pacs: Pacs) -> None:
    wait_until(lambda: _in_stage(pacs, "segment"), seconds=120, what="the segmentation", pause=0.02)
    pacs.kill()
    pacs.start()


def test_a_series_that_ends_orthanc_every_time_is_given_up_after_a_last_try(
    orthanc_server: StartPacs, synthetic: dict[str, list[Path]]
) -> None:
    pacs = orthanc_server(chest_ai={"Attempts": 1, "RetrySeconds": 4})
    wait_ready(pacs)
    pacs.store(synthetic["small_ct"])
    _kill_in_segmentation(pacs)

    def owed() -> str:
        errors = [entry["error"] for entry in pacs.get("/ai/series") if entry["state"] == "waiting"]
        return errors[0] or "" if errors else ""

    assert "once more, alone" in wait_until(owed, seconds=60, what="the word of the last try", pause=0.02)
    _kill_in_segmentation(pacs)
    (entry,) = settled(pacs, 1).values()
    assert entry["state"] == "failed"
    assert "again and again" in entry["error"]


def test_a_series_that_was_being_read_at_every_kill_is_read_in_its_last_try(
    orthanc_server: StartPacs, synthetic: dict[str, list[Path]]
) -> None:
    pacs = orthanc_server(chest_ai={"Attempts": 2, "RetrySeconds": 1})
    wait_ready(pacs)
    pacs.store(synthetic["small_ct"])
    for _ in range(2):
        _kill_in_segmentation(pacs)
    (entry,) = settled(pacs, 1).values()
    assert (entry["state"], entry["attempts"], entry["error"]) == ("done", 3, None)
    assert _one_set(pacs)
