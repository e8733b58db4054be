"""What single trainings of a comparison gave, each kept as a file, so that a comparison can go on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from export.compare.task import Case
from export.figures import Array, Labels
from export.paths import runs_folder


class Budget(BaseModel):
    """What each training gets: steps or minutes, whichever end first."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(gt=0)
    minutes: float | None = Field(default=None, gt=0)
    seed: int = 0


class Part(BaseModel):
    """One training: a network that leaves a fold out and learns from ``cases`` patients (None: all)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: str
    fold: int
    cases: int | None = None

    @property
    def label(self) -> str:
        """A name for files and logs."""
        return f"{self.network}-fold-{self.fold}-{'all' if self.cases is None else self.cases}"


class Outcome(BaseModel):
    """What a training gave.

    ``taught``: how many patients of those that the task counts it learnt from. ``steps``, ``seconds``: what
    it took, on ``device``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    part: Part
    budget: Budget
    taught: int
    parameters: int
    steps: int
    seconds: float
    device: str
    cases: tuple[Case, ...]

    @property
    def scored(self) -> tuple[Labels, Array, list[str]]:
        """Labels, scores and patients of all cases."""
        return pooled([self])


def pooled(outcomes: Sequence[Outcome]) -> tuple[Labels, Array, list[str]]:
    """Labels, scores and patients of all cases of several trainings."""
    cases = [case for outcome in outcomes for case in outcome.cases]
    labels = np.array([case.label for case in cases], dtype=np.int64)
    scores = np.array([case.score for case in cases], dtype=np.float64)
    return labels, scores, [case.patient for case in cases]


def folder_of(task: str) -> Path:
    """Where the trainings of a task's comparison are kept."""
    return runs_folder(f"compare-{task}")


def kept(task: str, part: Part, budget: Budget) -> Outcome | None:
    """What this training gave with this budget; None where it was not run to the end."""
    path = folder_of(task) / f"{part.label}.json"
    if not path.is_file():
        return None
    outcome = Outcome.model_validate_json(path.read_bytes())
    return outcome if outcome.budget == budget else None


def all_kept(task: str, budget: Budget) -> list[Outcome]:
    """Every training of a task with this budget, whoever ran it."""
    found = [
        Outcome.model_validate_json(path.read_bytes()) for path in sorted(folder_of(task).glob("*.json"))
    ]
    return [outcome for outcome in found if outcome.budget == budget]


def keep(task: str, outcome: Outcome) -> None:
    """Write down what a training gave."""
    path = folder_of(task) / f"{outcome.part.label}.json"
    partial = path.with_suffix(".part")
    partial.write_text(outcome.model_dump_json(indent=1) + "\n", encoding="utf-8")
    partial.replace(path)
