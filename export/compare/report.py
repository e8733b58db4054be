"""What a comparison found, as tables in ``onnx_models/compare.md``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from export.compare.outcomes import Budget, Outcome, pooled
from export.compare.task import Task
from export.figures import bootstrap
from export.host import described
from export.paths import ONNX_MODELS

FILE = ONNX_MODELS / "compare.md"
_HEAD = """# Networks compared

Each network of a task gets the same folds, data, seed and budget. Figures are for patients whom the network
never saw, over all folds, with 95 % intervals by bootstrap over patients. What was trained for minutes says
which architecture learns fastest from little, not which is best in the end.
"""


def write(task: Task, outcomes: Sequence[Outcome], seconds: Mapping[str, float], file: Path) -> None:
    """Put a task's tables into the file, in the place of those that it had. ValueError without trainings."""
    if not outcomes:
        raise ValueError(f"nothing was trained for {task.name} with this budget")
    text = file.read_text(encoding="utf-8") if file.is_file() else _HEAD
    opening, closing = f"<!-- {task.name} -->\n", f"<!-- /{task.name} -->\n"
    section = opening + tables(task, outcomes, seconds) + closing
    place = re.compile(re.escape(opening) + ".*?" + re.escape(closing), re.DOTALL)
    text = place.sub(lambda _: section, text) if place.search(text) else f"{text}\n{section}"
    file.write_text(text, encoding="utf-8")


def tables(task: Task, outcomes: Sequence[Outcome], seconds: Mapping[str, float]) -> str:
    """The networks beside each other, and each by the number of patients that it learnt from."""
    whole = [outcome for outcome in outcomes if outcome.part.cases is None]
    budget = outcomes[0].budget
    lines = [
        f"## {task.title}",
        "",
        f"{_trained(budget, outcomes)} Seconds per case: {described(os.cpu_count() or 1)}.",
        "",
        f"| Network | {task.measure} | 95 % interval | n | Folds | Parameters, millions | Steps | "
        "Seconds of training | Seconds per case |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for network, (title, own) in _by_network(task, whole).items():
        steps, spent = (np.mean([getattr(o, name) for o in own]) for name in ("steps", "seconds"))
        lines.append(
            f"| {title} | {_measured(task, own)} | {len(own)} | {own[0].parameters / 1e6:.2f} | "
            f"{steps:.0f} | {spent:.0f} | {seconds[network]:.1f} |"
        )
    lines += ["", *_curve(task, outcomes), *_commands(task, outcomes, budget), ""]
    return "\n".join(lines)


def _by_network(task: Task, outcomes: Sequence[Outcome]) -> dict[str, tuple[str, list[Outcome]]]:
    found = {n: (net.title, [o for o in outcomes if o.part.network == n]) for n, net in task.networks.items()}
    return {name: (title, own) for name, (title, own) in found.items() if own}


def _measured(task: Task, outcomes: Sequence[Outcome]) -> str:
    """The measure over all cases, its interval, and how many cases there are."""
    labels, scores, patients = pooled(outcomes)
    interval = bootstrap(task.statistic, labels, scores, patients)
    span = "" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"
    return f"{task.statistic(labels, scores):.3f} | {span} | {len(patients)}"


def _trained(budget: Budget, outcomes: Sequence[Outcome]) -> str:
    devices = ", ".join(sorted({outcome.device for outcome in outcomes}))
    most = "" if budget.minutes is None else f", at most {budget.minutes:g} minutes"
    return f"{budget.steps} steps a training{most}, seed {budget.seed}, on {devices}."


def _curve(task: Task, outcomes: Sequence[Outcome]) -> list[str]:
    """The measure by the number of training cases, of networks that were trained with several."""
    lines = []
    for title, own in _by_network(task, outcomes).values():
        counts = sorted({o.part.cases for o in own}, key=lambda count: np.inf if count is None else count)
        if len(counts) < 2:
            continue
        lines += [
            f"{title} by the number of {task.counted} that it learnt from:",
            "",
            f"| Learnt from | {task.measure} | 95 % interval | n |",
            "|---|---|---|---|",
        ]
        for count in counts:
            same = [o for o in own if o.part.cases == count]
            taught = sorted({o.taught for o in same})
            said = f"{taught[0]}" if len(taught) == 1 else f"{taught[0]} to {taught[-1]}"
            lines.append(f"| {said}{' (all)' if count is None else ''} | {_measured(task, same)} |")
        lines.append("")
    return lines


def _commands(task: Task, outcomes: Sequence[Outcome], budget: Budget) -> list[str]:
    """The commands that repeat it: networks that were trained with the same numbers of cases together."""
    groups: dict[str, list[str]] = {}
    for network, (_, own) in _by_network(task, outcomes).items():
        counts = sorted({o.part.cases for o in own}, key=lambda count: np.inf if count is None else count)
        groups.setdefault(",".join("all" if c is None else str(c) for c in counts), []).append(network)
    folds = ",".join(str(fold) for fold in sorted({o.part.fold for o in outcomes}))
    most = "" if budget.minutes is None else f" --minutes {budget.minutes:g}"
    same = f"--folds {folds} --steps {budget.steps}{most} --seed {budget.seed}"
    return [
        "Repeat it with:",
        "",
        "```sh",
        *(
            f"./run export compare --task {task.name} --networks {','.join(names)} --cases {counts} {same}"
            for counts, names in groups.items()
        ),
        "```",
    ]
