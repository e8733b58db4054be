"""The trainings of a comparison, one after the other: what was run to the end is not run again."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch

from export.compare.outcomes import Budget, Outcome, Part, folder_of, keep, kept
from export.compare.task import Task
from export.training import best_device

_log = logging.getLogger(__name__)


def parts(networks: Sequence[str], folds: Iterable[int], cases: Iterable[int | None]) -> list[Part]:
    """Every network with all patients and with fewer, fold by fold."""
    counts = sorted(cases, key=lambda count: -math.inf if count is None else -count)
    return [
        Part(network=network, fold=fold, cases=count)
        for fold in folds
        for count in counts
        for network in networks
    ]


def outcome(task: Task, part: Part, budget: Budget) -> Outcome:
    """What this training gives: as it is kept, or trained now, from its checkpoint on where there is one."""
    found = kept(task.name, part, budget)
    if found is None:
        found = _trained(task, part, budget)
        keep(task.name, found)
        labels, scores, _ = found.scored
        _log.info("%s: %s %.3f", part.label, task.measure, task.statistic(labels, scores))
    return found


def _trained(task: Task, part: Part, budget: Budget) -> Outcome:
    _log.info("%s: training", part.label)
    device = best_device()
    torch.manual_seed(budget.seed)
    network = task.networks[part.network].build()
    patients = task.patients(part.fold, part.cases)
    checkpoint = folder_of(task.name) / f"{part.label}-{budget.steps}-{budget.seed}.pt"
    trainer = task.begun(network, replace(task.plan, steps=budget.steps), checkpoint)
    seconds = math.inf if budget.minutes is None else 60 * budget.minutes
    trained = trainer.run(task.sampler(patients, budget.seed, device), seconds)
    cases = task.judged(trained, part.fold, device)
    checkpoint.unlink()
    return Outcome(
        part=part,
        budget=budget,
        taught=task.taught(patients),
        parameters=sum(weight.numel() for weight in network.parameters()),
        steps=trainer.step,
        seconds=round(trainer.spent, 1),
        device=device_name(device),
        cases=tuple(cases),
    )


def device_name(device: torch.device) -> str:
    """What trained it."""
    return str(torch.cuda.get_device_name(device)) if device.type == "cuda" else "CPU"
