"""Real RabbitMQ, PostgreSQL, Orthanc and two real workers: a short ``./run soak --only workers``."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.fleet.site import why_not
from demo.soak import workers
from demo.soak.chapter import Setup
from demo.soak.series import Factory


def test_every_trouble_in_mid_ct_leaves_one_set_of_results(
    synthetic: dict[str, list[Path]], tmp_path: Path
) -> None:
    missing = why_not()
    if missing:
        pytest.skip(missing)
    factory = Factory(xray=synthetic["xray"][0], ct=synthetic["ct"], folder=tmp_path / "sent", seed=1)
    chapter = workers.run(Setup(folder=tmp_path / "site", factory=factory, seed=1, rounds=8))
    assert not chapter.problems, "\n".join(map(str, chapter.problems))
    assert "8, " in chapter.figures["series"]
