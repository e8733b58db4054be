"""Full disk: it fills up in mid-reading, space is given back, and all settles without a restart."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from demo.client import wait_until_loaded
from demo.server import OrthancServer
from demo.soak.chapter import Chapter, Setup, close, say, server_problem, wait_for_stage
from demo.soak.postman import Postman

SIZE_MIB = 256
CASES = ("storage and ledger", "storage", "ledger")
STAGES = ("decode", "segment", "results", "store")
"""When the disk is filled; the seed chooses."""

_FULL_SECONDS = 8.0
"""How long it stays full: long enough for the reading to meet it, and to wait for room."""

_PATIENCE_SECONDS = 60.0
_SETTLE_SECONDS = 240


def run(setup: Setup) -> Chapter:
    """Fill the disk ``setup.rounds`` times, each case in its turn."""
    chapter = Chapter()
    if os.geteuid() != 0:
        chapter.skipped = "only root can mount a small disk to fill up"
        return chapter
    rng = random.Random(f"disk {setup.seed}")
    for round_ in range(setup.rounds):
        case, stage = CASES[round_ % len(CASES)], rng.choice(STAGES)
        try:
            seen = _one(setup, round_, case, stage, chapter)
        except OSError as error:
            chapter.skipped = str(error)
            return chapter
        chapter.figures[f"round {round_ + 1}"] = f"{case} full during {stage}{'' if seen else ' (not seen)'}"
        say(f"disk {round_ + 1} of {setup.rounds}: {case} full during {stage}")
    return chapter


def _one(setup: Setup, round_: int, case: str, stage: str, chapter: Chapter) -> bool:
    """One full disk. Whether the stage was seen in which it had to fill."""
    folder = setup.folder / f"disk-{round_}"
    with small_disk(folder / "small") as small:
        server = _server(setup, f"pacs-{round_}", case, small)
        postman = Postman(server.dicom_port)
        seen = False
        try:
            server.start()
            wait_until_loaded(server)
            first = 10 * round_
            postman.hand([setup.factory.make(first, "ct"), setup.factory.make(first + 1, "xray")])
            postman.finish(seconds=60)
            seen = wait_for_stage(server, stage, seconds=_PATIENCE_SECONDS)
            filler = fill(small)
            time.sleep(_FULL_SECONDS)
            filler.unlink()
            sent = [series.sent(postman.acknowledged) for series in postman.handed]
            close(server, chapter, sent, seconds=_SETTLE_SECONDS, ledger=_ledger(server, case, small))
        except OSError as error:
            chapter.problems.append(server_problem(server, str(error)))
        finally:
            server.kill()
    return seen


def _server(setup: Setup, name: str, case: str, small: Path) -> OrthancServer:
    orthanc: dict[str, Any] = {}
    chest_ai: dict[str, Any] = {"RetrySeconds": 10}
    if case == "ledger":
        chest_ai["Ledger"] = f"sqlite:///{small / 'chest-ai.sqlite'}"
    else:
        orthanc["StorageDirectory"] = str(small)
    if case == "storage and ledger":
        orthanc["IndexDirectory"] = str(small)
    return setup.server(name, chest_ai=chest_ai, orthanc=orthanc)


def _ledger(server: OrthancServer, case: str, small: Path) -> Path:
    return (server.data / "db" if case == "storage" else small) / "chest-ai.sqlite"


@contextmanager
def small_disk(folder: Path, kind: str | None = None) -> Iterator[Path]:
    """A small file system, gone at the end with all that is on it.

    ``kind``: ``ext4``, on which a folder takes space as on a server's disk, or ``tmpfs``, which is in memory
    and needs no loop device; by default the first of them that can be had. Raises OSError where none can.
    """
    folder.mkdir(parents=True)
    image = folder.with_name(f"{folder.name}.ext4")
    make: dict[str, list[list[str | Path]]] = {
        "ext4": [
            ["truncate", "-s", f"{SIZE_MIB}M", image],
            ["mkfs.ext4", "-q", "-F", "-m", "0", image],
            ["mount", "-o", "loop", image, folder],
        ],
        "tmpfs": [["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m", "tmpfs", folder]],
    }
    if not any(_succeed(make[name]) for name in ([kind] if kind else make)):
        raise OSError("no small file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
        image.unlink(missing_ok=True)


def _succeed(commands: Sequence[Sequence[str | Path]]) -> bool:
    """Run commands until one fails; whether none did."""
    try:
        for command in commands:
            subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def fill(folder: Path) -> Path:
    """A file that takes all the space there is."""
    filler = folder / "filler"
    block = bytes(1 << 20)
    with filler.open("wb", buffering=0) as file:
        for size in (len(block), 4096, 1):
            try:
                while file.write(block[:size]):
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
    return filler
