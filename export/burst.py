"""``python -m export burst``: a GPU that is there for minutes trains the volumetric networks.

``--pack FOLDER`` makes the data that such a machine needs, here. There, ``--data FOLDER --seconds S --out
DIR`` trains the compact volumetric segmenter (TRAIN and PROD), then the comparison of findings' networks, in
several processes beside each other, and writes weights and results to DIR; schedules end in time.
``--take DIR`` puts what came back where ``evaluate``, ``onnx`` and ``compare`` look for it.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import torch
from pydantic import TypeAdapter

from export.compare import lesion
from export.compare.outcomes import Budget, Outcome, Part, keep
from export.compare.training import outcome, parts
from export.data import ct
from export.data.ct_pack import pack, unpack
from export.models.ct_volume import COMPACT
from export.paths import runs_folder
from export.training import PROD

_log = logging.getLogger(__name__)
_RESULTS = "lesion.json"
_Answer = TypeVar("_Answer")
_OUTCOMES = TypeAdapter(list[Outcome])
#: Steps that no training needs more of.
_MOST = 4000
#: The curve's numbers of patients with COVID-19 beside all.
_FEWER = (3, 6)
#: How much of the time of the comparison goes into steps; the rest is for reading volumes.
_STEPPING = 0.75
#: How much longer than planned a training of the comparison may take.
_SLACK = 2.0


@dataclass(frozen=True)
class Paced:
    """A training of the segmenter: its steps and what they took."""

    steps: int
    seconds: float


def ship(part: int | str, steps: int, seconds: float, out: Path) -> Paced:
    """Train a part of the compact segmenter, and write its averaged weights in float16."""
    model = replace(COMPACT, plan=replace(COMPACT.plan, steps=steps))
    trainer = model.trainer(part)
    trainer.run(model.sampler(model.taught(part), model.SEED), seconds)
    checkpoint = torch.load(trainer.checkpoint, map_location="cpu", weights_only=True)
    weights = {name: value.half() for name, value in checkpoint["average"].items()}
    torch.save({**checkpoint, "average": weights}, out / trainer.checkpoint.name)
    return Paced(trainer.step, trainer.spent)


def _begin(threads: int) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(name)s %(message)s")
    torch.set_num_threads(threads)


def _compare(part: Part, budget: Budget, latest: float) -> Outcome:
    """One training of the comparison. TimeoutError where it would begin after ``latest`` (seconds, Unix)."""
    if time.time() > latest:
        raise TimeoutError(f"no time is left for {part.label}")
    return outcome(lesion.TASK, part, budget)


def comparison() -> list[Part]:
    """Every network with all patients, fold by fold, then U-Net++ with fewer."""
    folds = range(ct.FOLDS)
    return [*parts(list(lesion.TASK.networks), folds, [None]), *parts(["unetpp"], folds, _FEWER)]


def burst(seconds: float, out: Path, *, share: float, workers: int, most: int) -> None:
    """Train for about ``seconds``, of them ``share`` for the segmenter; at most ``most`` steps a training.

    What the segmenter's steps took says how many the trainings of the comparison have.
    """
    end = time.time() + seconds
    threads = max(1, (os.cpu_count() or 1) // workers)
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin, (threads,)) as pool:
        wanted: list[int | str] = [PROD, *COMPACT.folds]
        rounds = -(-len(wanted) // workers)
        shipped = [pool.submit(ship, part, most, share * seconds / rounds, out) for part in wanted]
        paced = list(_answered(shipped))
        left = end - time.time()
        if left <= 0 or not paced:
            return
        listed = comparison()
        each = left / -(-len(listed) // workers)
        pace = sum(p.seconds for p in paced) / sum(p.steps for p in paced)
        steps = max(2, min(most, int(_STEPPING * each / pace)))
        budget = Budget(steps=steps, minutes=round(_SLACK * each / 60, 2))
        _log.info("%.3f s a step; %d trainings of %s in %.0f s", pace, len(listed), budget, left)
        outcomes: list[Outcome] = []
        for answer in _answered([pool.submit(_compare, part, budget, end - each / 2) for part in listed]):
            outcomes.append(answer)
            (out / _RESULTS).write_bytes(_OUTCOMES.dump_json(outcomes, indent=1))


def _answered(futures: Sequence[Future[_Answer]]) -> Iterator[_Answer]:
    """Answers as they come, without those of trainings that failed, which the log tells of."""
    for future in as_completed(futures):
        failure = future.exception()
        if failure is not None:
            _log.error(
                "a training failed: %r",
                failure,
                exc_info=None if isinstance(failure, TimeoutError) else failure,
            )
            continue
        yield future.result()


def take(folder: Path) -> None:
    """Put weights and results of another machine where they are looked for."""
    for path in sorted(folder.glob("*.pt")):
        shutil.copyfile(path, runs_folder(COMPACT.name) / path.name)
    for each in _OUTCOMES.validate_json((folder / _RESULTS).read_bytes()):
        keep(lesion.TASK.name, each)


def main(argv: Sequence[str]) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="./run export burst", description=__doc__)
    parser.add_argument("--pack", type=Path, metavar="FOLDER", help="make the data to carry, and no more")
    parser.add_argument("--take", type=Path, metavar="DIR", help="take what came back, and no more")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="what --pack made")
    parser.add_argument("--out", type=Path, metavar="DIR")
    parser.add_argument("--seconds", type=float, default=270, help="in all (default %(default)s)")
    parser.add_argument("--share", type=float, default=0.45, help="of them for the segmenter")
    parser.add_argument("--workers", type=int, default=4, help="processes beside each other")
    parser.add_argument("--steps", type=int, default=_MOST, help="of a training, at most")
    arguments = parser.parse_args(argv)
    _begin(os.cpu_count() or 1)
    if arguments.pack:
        pack(COMPACT.stored([*ct.chest_names(), ct.DICOM_CHEST]), arguments.pack)
    elif arguments.take:
        take(arguments.take)
    elif arguments.data and arguments.out:
        os.environ["CHEST_AI_DATA"] = str(arguments.data.resolve())
        begun = time.monotonic()
        unpack(arguments.data, COMPACT.keep)
        arguments.out.mkdir(parents=True, exist_ok=True)
        left = arguments.seconds - (time.monotonic() - begun)
        burst(left, arguments.out, share=arguments.share, workers=arguments.workers, most=arguments.steps)
    else:
        parser.error("--pack FOLDER, --take DIR, or --data FOLDER and --out DIR")
