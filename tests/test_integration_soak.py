"""A short round of ``./run soak``: a few kills, a few hostile files, and the audit finds nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.server import ORTHANC
from demo.soak import hostile, kill
from demo.soak.chapter import Setup
from demo.soak.problems import Problem
from demo.soak.series import Factory

SEED = 1


@pytest.fixture
def factory(synthetic: dict[str, list[Path]], tmp_path: Path) -> Factory:
    """Series made of the demo's own studies."""
    if not Path(ORTHANC).exists():
        pytest.skip("Orthanc is not installed")
    return Factory(xray=synthetic["xray"][0], ct=synthetic["ct"], folder=tmp_path / "sent", seed=SEED)


def told(problems: list[Problem]) -> str:
    """The problems, for the message of a test that failed."""
    return "\n".join(map(str, problems))


def test_a_short_kill_storm_loses_nothing(factory: Factory, tmp_path: Path) -> None:
    chapter = kill.run(Setup(folder=tmp_path, factory=factory, seed=SEED, rounds=2))
    assert not chapter.problems, told(chapter.problems)
    assert "0 not" in chapter.figures["series"]


def test_a_few_hostile_series_are_all_settled(factory: Factory, tmp_path: Path) -> None:
    chapter = hostile.run(Setup(folder=tmp_path, factory=factory, seed=SEED, rounds=6))
    assert not chapter.problems, told(chapter.problems)
    assert "6 made" in chapter.figures["series"]
