"""``python -m export compare --task lesion``: networks of one task, trained alike and measured alike.

``--steps`` and ``--minutes`` are the budget of each training, whichever ends first; ``--cases 4,8,all``
trains with so many patients, for a curve. A training that was run to the end with the same budget is not run
again, one that was cut off goes on. The tables go into ``onnx_models/compare.md``.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence

from export.compare import report
from export.compare.outcomes import Budget, all_kept
from export.compare.task import MODULES, task_of
from export.compare.training import outcome, parts
from export.data import ct


def main(argv: Sequence[str]) -> None:
    """The command line. Exits with 2 where an option is no good."""
    parser = argparse.ArgumentParser(prog="./run export compare", description=__doc__)
    parser.add_argument("--task", choices=sorted(MODULES), required=True)
    parser.add_argument("--networks", help="names joined by commas; all, where left out")
    parser.add_argument("--steps", type=int, help="of each training")
    parser.add_argument("--minutes", type=float, help="of each training, at most")
    parser.add_argument("--cases", default="all", help="numbers of training patients, and all: 4,8,all")
    parser.add_argument("--folds", default=",".join(str(fold) for fold in range(ct.FOLDS)))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    task = task_of(arguments.task)
    networks = arguments.networks.split(",") if arguments.networks else list(task.networks)
    unknown = [name for name in networks if name not in task.networks]
    if unknown:
        parser.error(f"unknown: {' '.join(unknown)}; known: {', '.join(task.networks)}")
    try:
        counts = [None if count == "all" else int(count) for count in arguments.cases.split(",")]
        folds = [int(fold) for fold in arguments.folds.split(",")]
        budget = Budget(
            steps=arguments.steps or task.plan.steps, minutes=arguments.minutes, seed=arguments.seed
        )
        for fold in folds:
            for count in counts:
                task.patients(fold, count)
    except ValueError as error:
        parser.error(str(error))
    for part in parts(networks, folds, counts):
        outcome(task, part, budget)
    outcomes = all_kept(task.name, budget)
    trained = {each.part.network for each in outcomes if each.part.cases is None}
    seconds = {name: task.seconds(task.networks[name].build().eval()) for name in trained}
    report.write(task, outcomes, seconds, report.FILE)
