"""What a comparison has to know of a task: its networks, its training cases, and how an answer is judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

import torch
from pydantic import BaseModel, ConfigDict
from torch import nn

from export.data.ct_segment import Batch
from export.figures import Array, Labels
from export.models.ct_segment_train import SegmentTrainer
from export.training import Batches, Plan

#: Modules of this folder that have a ``TASK``, by the task's name.
MODULES: dict[str, str] = {"lesion": "lesion", "class": "segmented"}


@dataclass(frozen=True)
class Network:
    """One architecture of a comparison, of comparable size; ``build`` gives it with random weights."""

    title: str
    build: Callable[[], nn.Module]


class Case(BaseModel):
    """What a network that never saw ``patient`` is worth there.

    ``score``: a measure of the case (Dice), or a probability that is judged beside those of the others, by
    ``label``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    patient: str
    score: float
    label: int = 0


class Task(Protocol):
    """A task that several networks are trained for."""

    @property
    def name(self) -> str:
        """As ``--task`` has it."""

    @property
    def title(self) -> str:
        """The heading of its table."""

    @property
    def measure(self) -> str:
        """What :meth:`statistic` is, for the table: "findings Dice, mean over volumes"."""

    @property
    def counted(self) -> str:
        """What the number of training cases counts: "patients with COVID-19"."""

    @property
    def networks(self) -> Mapping[str, Network]:
        """By the name that ``--networks`` takes."""

    @property
    def plan(self) -> Plan:
        """Batch, rate and the like, the same for each; its steps are the budget where none is said."""

    def patients(self, fold: int, cases: int | None) -> list[str]:
        """Who teaches a network that leaves ``fold`` out: all, or so many of those that are counted.

        A smaller number is a part of a greater one. Raises ValueError where there are fewer.
        """

    def taught(self, patients: Sequence[str]) -> int:
        """How many of these patients are of those that are counted."""

    def begun(self, network: nn.Module, plan: Plan, checkpoint: Path) -> SegmentTrainer:
        """A trainer of this network, from its checkpoint on where there is one."""

    def sampler(self, patients: Sequence[str], seed: int, device: torch.device) -> Batches[Batch]:
        """Training cases of these patients, on the device of the trainer."""

    def judged(self, network: nn.Module, fold: int, device: torch.device) -> list[Case]:
        """The patients of ``fold``, read by a network (in evaluation mode) on ``device``."""

    def statistic(self, labels: Labels, scores: Array) -> float:
        """The measure over all cases; NaN where it is undefined."""

    def seconds(self, network: nn.Module) -> float:
        """Seconds that a network (in evaluation mode, on the CPU) takes for one case."""


def task_of(name: str) -> Task:
    """The task of this name. KeyError where there is none."""
    found: Task = import_module(f"export.compare.{MODULES[name]}").TASK
    return found
