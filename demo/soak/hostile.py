"""Hostile corpus: damaged files in batches; after each Orthanc lives, memory is bounded, all is settled."""

from __future__ import annotations

import random
import urllib.error
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from demo.client import wait_until_loaded
from demo.measure import memory_mib
from demo.send import c_store, read_header
from demo.server import OrthancServer, ServerError
from demo.soak.chapter import Chapter, Setup, close, say, server_problem, wait_until_at_rest
from demo.soak.mutations import mutate
from demo.soak.problems import Kind, Problem

MOST_MIB = 4096
"""More resident memory than this, and the process is taken for unbounded."""

BY_STORE = 0.4
"""The share of series that come by C-STORE, where a broken file may cost ``_ANSWER_SECONDS``."""

_BATCH = 10
_RECIPES = ("xray", "xray compressed", "xray compressed", "ct", "ct compressed")
_BATCH_SECONDS = 600
_ANSWER_SECONDS = 5


def run(setup: Setup) -> Chapter:
    """Send ``setup.rounds`` damaged series."""
    chapter = Chapter()
    real = [path for path in sorted(setup.real.rglob("*")) if path.is_file()] if setup.real else []
    rng = random.Random(f"hostile {setup.seed}")
    server = setup.server()
    peak, kinds, taken = 0, Counter[str](), 0
    try:
        server.start()
        wait_until_loaded(server)
        for first in range(0, setup.rounds, _BATCH):
            numbers = range(first, min(first + _BATCH, setup.rounds))
            cases = [_make(setup, number, real) for number in numbers]
            kinds.update(damage for _, damage in cases)
            try:
                taken += sum(_send(server, case, by_store=rng.random() < BY_STORE) for case, _ in cases)
                if not wait_until_at_rest(server, seconds=_BATCH_SECONDS):
                    text = f"not at rest {_BATCH_SECONDS} s after {_names(cases)}"
                    chapter.problems.append(Problem(kind=Kind.OPEN, text=text))
                now = memory_mib(server, peak=True)
            except OSError as error:
                text = f"{error} after {_names(cases)}"
                chapter.problems.append(server_problem(server, text))
                server.kill()
                server.start()
                continue
            if now > MOST_MIB >= peak:
                text = f"{now} MiB of memory, more than {MOST_MIB}, after {_names(cases)}"
                chapter.problems.append(Problem(kind=Kind.SERVER, text=text))
            peak = max(peak, now)
            say(f"{numbers[-1] + 1} of {setup.rounds} series, at most {peak} MiB")
        close(server, chapter, seconds=_BATCH_SECONDS)
        chapter.figures = _figures(server, setup.rounds, taken, peak, kinds)
    except (OSError, ServerError) as error:
        chapter.problems.append(server_problem(server, str(error)))
    finally:
        server.kill()
    return chapter


def _make(setup: Setup, number: int, real: Sequence[Path]) -> tuple[list[Path], str]:
    """One series, one or all of its files damaged; and how."""
    rng = random.Random(f"hostile {setup.seed} {number}")
    if real and rng.random() < 0.5:
        original = rng.choice(real)
        target = setup.folder / "real" / f"{number:05d}-{original.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        damaged, damage = mutate(original.read_bytes(), rng)
        target.write_bytes(damaged)
        return [target], damage
    files = list(setup.factory.make(number, rng.choice(_RECIPES)).files)
    chosen = files if rng.random() < 0.3 else [rng.choice(files)]
    dice = rng.getstate()
    damage = ""
    for file in chosen:
        rng.setstate(dice)  # the same damage to each
        damaged, damage = mutate(file.read_bytes(), rng)
        file.write_bytes(damaged)
    return files, damage


def _send(server: OrthancServer, files: Sequence[Path], *, by_store: bool) -> int:
    """By C-STORE what it can carry, or by HTTP; how many files Orthanc took."""
    headers = [header for file in files if by_store and (header := read_header(file)) is not None]
    unsent = c_store(headers, server.dicom_port, answer_seconds=_ANSWER_SECONDS)
    carried = {header.path for header in headers} - unsent.keys()
    taken = len(carried)
    for file in files:
        if file not in carried:
            try:
                server.post("/instances", file.read_bytes())
                taken += 1
            except urllib.error.HTTPError:
                continue  # Orthanc refuses it: nothing was acknowledged
    return taken


def _figures(
    server: OrthancServer, rounds: int, taken: int, peak: int, kinds: Counter[str]
) -> dict[str, str]:
    counts = server.get("/ai/status")["counts"]
    most = ", ".join(f"{count} {damage}" for damage, count in kinds.most_common(6))
    return {
        "series": f"{rounds} made, {taken} files taken; {counts}",
        "memory": f"at most {peak} MiB",
        "damage": most,
    }


def _names(cases: Sequence[tuple[list[Path], str]]) -> str:
    return "; ".join(f"{files[0].parent.name}/{files[0].name}: {damage}" for files, damage in cases)
