"""What the integration tests ask a real Orthanc with the plugin."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from demo.client import SETTLED
from tests.conftest import Pacs


def wait_until(condition: Callable[[], Any], *, seconds: float, what: str, pause: float = 0.1) -> Any:
    """The first true answer of a condition; fails the test after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"{what} did not come in {seconds} s"
        time.sleep(pause)


def status(pacs: Pacs) -> dict[str, Any]:
    """``GET /ai/status``."""
    return dict(pacs.get("/ai/status"))


def wait_ready(pacs: Pacs) -> dict[str, Any]:
    """The status once the models are loaded."""

    def loaded() -> dict[str, Any] | None:
        answer = status(pacs)
        return None if answer["state"] == "starting" else answer

    return dict(wait_until(loaded, seconds=60, what="the models"))


def settled(pacs: Pacs, count: int, *, seconds: float = 240) -> dict[str, dict[str, Any]]:
    """Every series of the ledger by its id, once ``count`` are known and all of them are settled."""

    def all_settled() -> dict[str, dict[str, Any]] | None:
        known = pacs.get("/ai/series?limit=1000")
        if len(known) < count or any(entry["state"] not in SETTLED for entry in known):
            return None
        return {entry["series"]: entry for entry in known}

    return dict(wait_until(all_settled, seconds=seconds, what=f"the end of {count} series", pause=0.25))


def results(pacs: Pacs, modality: str) -> list[str]:
    """Orthanc's ids of every instance of a modality."""
    query = {"Level": "Instance", "Query": {"Modality": modality}}
    return list(pacs.request("POST", "/tools/find", json=query).json())


def all_results(pacs: Pacs) -> dict[str, list[str]]:
    """Every stored result by DICOM modality."""
    return {modality: sorted(results(pacs, modality)) for modality in ("SR", "DOC", "SEG", "OT")}
