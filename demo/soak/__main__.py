"""``./run soak``: torture of a real Orthanc with the plugin; the exit status is 1 where anything is found."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from demo.phantom.files import write_studies
from demo.rest import Orthanc
from demo.soak import burst, disk, hostile, kill, memory, workers
from demo.soak.audit import ALL_RESULTS, Site, audit
from demo.soak.chapter import Chapter, Setup
from demo.soak.report import listed, table
from demo.soak.series import Factory

CHAPTERS: dict[str, tuple[Callable[[Setup], Chapter], int, str]] = {
    "kill": (kill.run, 20, "kills"),
    "burst": (burst.run, 12, "series at once"),
    "memory": (memory.run, 40, "series"),
    "disk": (disk.run, 3, "full disks"),
    "hostile": (hostile.run, 100, "damaged series"),
    "workers": (workers.run, 40, "series"),
}
"""By name: what runs, how many rounds by default, and of what."""


def main(arguments: list[str] | None = None) -> int:
    """Run the chapters or the audit that the arguments ask for. Returns the exit status."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that Orthanc is stopped, too
    if options.audit:
        site = Site(results=options.results, superseded=options.superseded)
        problems = audit(Orthanc(options.audit), site=site, ledger=options.ledger)
        print(listed(problems) or "nothing was found")
        return 1 if problems else 0
    with tempfile.TemporaryDirectory(prefix="chest-ai-soak-") as scratch:
        studies = Path(scratch) / "studies"
        print("Making the phantom ...", flush=True)
        write_studies(studies)
        results, commands = {}, {}
        for name in options.only:
            run, default, what = CHAPTERS[name]
            rounds = options.rounds or default
            print(f"\n{name}: {rounds} {what}, seed {options.seed}", flush=True)
            folder = (options.data or Path(scratch)) / name
            setup = _setup(folder, studies, options, rounds)
            started = time.monotonic()
            results[name] = run(setup)
            print(f"  {name} took {time.monotonic() - started:.0f} s", flush=True)
            commands[name] = f"./run soak --only {name} --seed {options.seed} --rounds {rounds}" + (
                f" --real {options.real}" if options.real and name == "hostile" else ""
            )
    print("\n" + table(results, commands))
    return 1 if any(chapter.problems for chapter in results.values()) else 0


def _setup(folder: Path, studies: Path, options: argparse.Namespace, rounds: int) -> Setup:
    factory = Factory(
        xray=studies / "xray" / "xray.dcm",
        ct=list((studies / "ct").iterdir()),
        folder=folder / "sent",
        seed=options.seed,
    )
    return Setup(folder=folder, factory=factory, seed=options.seed, rounds=rounds, real=options.real)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./run soak", description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="chooses what is sent, and when")
    parser.add_argument("--rounds", type=_count, metavar="N", help="kills, series or full disks of a chapter")
    parser.add_argument(
        "--only", type=_chapters, default=list(CHAPTERS), metavar="CHAPTER,…", help=", ".join(CHAPTERS)
    )
    parser.add_argument("--real", type=Path, metavar="FOLDER", help="DICOM files that hostile damages too")
    parser.add_argument("--data", type=Path, metavar="DIR", help="keep there what is sent and stored")
    alone = parser.add_argument_group("the audit alone, of a running server")
    alone.add_argument("--audit", metavar="URL", help="http://[user:password@]host:port")
    alone.add_argument("--ledger", type=Path, metavar="FILE", help="its SQLite ledger, looked into as well")
    alone.add_argument(
        "--results",
        type=_kinds,
        default=ALL_RESULTS,
        metavar="KIND,…",
        help="the results that its settings store",
    )
    alone.add_argument(
        "--superseded", choices=("delete", "keep"), default="delete", help="as its settings say"
    )
    return parser


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{count} is less than one")
    return count


def _chapters(text: str) -> list[str]:
    return _of(text, CHAPTERS)


def _kinds(text: str) -> list[str]:
    return _of(text, ALL_RESULTS)


def _of(text: str, known: Iterable[str]) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: known are {', '.join(known)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
