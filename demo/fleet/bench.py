"""What workers bring: the same CTs read by Orthanc itself and by workers, and what a day would take.

The simulation of a day is held against the real runs before it is believed: it is given when each series was
due and how long it was read, and has to say how long each waited. Workers on one machine share its cores, so
that a reading takes longer beside others: each run is simulated with the times that were measured in it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.client import wait_until_loaded
from demo.fleet.simulation import DAY, HOUR, Scaling, Work, arrivals, simulate
from demo.fleet.site import Site, why_not
from demo.measure import answer_times, percentile, running, send_folder, settled
from demo.rest import Orthanc
from demo.send import c_store, read_header
from demo.server import OrthancServer
from demo.soak.series import Factory

CTS = 8
"""How many CTs are sent at once; each is the phantom's, 34 slices of 256 x 256 (as in ./run soak)."""

DAYS = (1_000, 10_000, 100_000)
"""Studies a day."""

CT_SHARE = 0.2
"""How many of a day's studies are CTs: assumed."""

_STABLE_AGE = 2
_MANY = 2000


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run: what was read when, the answers of Orthanc meanwhile in seconds, transactions a series."""

    name: str
    workers: int
    work: Sequence[Work]
    waits: Sequence[float]
    seconds: float
    answers: Sequence[float]
    transactions: float | None


def compare(folder: Path, factory: Factory, counts: Sequence[int]) -> list[Run]:
    """Read the same CTs by the embedded engine and by so many workers, and print the table."""
    runs = [_embedded(folder / "embedded", factory)]
    missing = why_not()
    if missing:
        print(f"\nNo workers: {missing}")
    else:
        runs += [_by_workers(folder / f"workers{count}", factory, count) for count in counts]
    print(f"\n{CTS} small CTs sent at once\n")
    print(
        "| Read by | Seconds | Series an hour | A CT takes (s) | Wait, median (s) | simulated "
        "| Wait, 95 of 100 within (s) | simulated | GET /system, median (ms) | 99 of 100 within (ms) |"
    )
    print("|---" * 10 + "|")
    for run in runs:
        told = simulate(run.work, run.workers)
        print(
            f"| {run.name} | {run.seconds:.1f} | {HOUR * len(run.work) / run.seconds:.0f} "
            f"| {statistics.mean(one.seconds for one in run.work):.1f} "
            f"| {percentile(run.waits, 50):.1f} | {told.wait(50):.1f} "
            f"| {percentile(run.waits, 95):.1f} | {told.wait(95):.1f} "
            f"| {1000 * statistics.median(run.answers):.1f} | {1000 * percentile(run.answers, 99):.1f} |",
            flush=True,
        )
    return runs


def capacity(folder: Path, synthetic: Path, runs: Sequence[Run], *, ct_seconds: float | None = None) -> None:
    """Simulate days of a hospital with service times measured here, and print the table.

    ``ct_seconds``: seconds for a CT on other workers, such as those with a GPU, instead of those measured.
    """
    measured, megabytes = _service(folder, synthetic)
    if ct_seconds is not None:
        measured["ct"] = [ct_seconds]
    print(
        "\nService times measured here (full-size synthetic studies), in seconds, and MB over the network\n"
    )
    for kind, seconds in measured.items():
        print(f"- {kind}: {', '.join(f'{one:.1f}' for one in seconds)} s; {megabytes[kind]:.1f} MB")
    transactions = max((run.transactions or 0.0 for run in runs), default=0.0)
    print(
        f"\nA day, {CT_SHARE:.0%} of it CTs. One CT worker more for every 4 that wait, one X-ray worker for "
        "every 20; a worker is ready after 30 s\n"
    )
    print(
        "| Studies a day | Kind | Wait, median (s) | 95 of 100 within (s) | Most workers | On average "
        "| Network at the peak (MB/s) | Ledger at the peak (transactions/s) |"
    )
    print("|---" * 8 + "|")
    peak = max(DAY) / sum(DAY) / HOUR
    for studies in DAYS:
        for kind, share, threshold in (("xray", 1 - CT_SHARE, 20), ("ct", CT_SHARE, 4)):
            count = round(studies * share)
            course = simulate(
                arrivals(count, measured[kind]), Scaling(threshold=threshold, least=1, most=_MANY)
            )
            print(
                f"| {studies:,} | {kind} | {course.wait(50):.0f} | {course.wait(95):.0f} "
                f"| {course.most_workers} | {course.worker_seconds / max(course.end, 1):.1f} "
                f"| {count * peak * megabytes[kind]:.1f} | {count * peak * transactions:.1f} |",
                flush=True,
            )


def _embedded(folder: Path, factory: Factory) -> Run:
    with running(OrthancServer(folder, stable_age=_STABLE_AGE)) as server:
        return _run("Orthanc itself", 1, server, factory)


def _by_workers(folder: Path, factory: Factory, count: int) -> Run:
    site = Site(folder, stable_age=_STABLE_AGE)
    try:
        site.start()
        wait_until_loaded(site.orthanc)
        for number in range(count):
            site.start_worker(f"worker{number}", "ct-jobs")
        while len(site.alive()) < count:
            time.sleep(0.2)
        name = f"{count} worker{'s' if count > 1 else ''}"
        return _run(name, count, site.orthanc, factory, lambda: site.postgres.transactions("ledger"))
    finally:
        site.remove()


def _run(
    name: str,
    workers: int,
    server: OrthancServer,
    factory: Factory,
    transactions: Callable[[], int] | None = None,
) -> Run:
    made = [factory.make(number, "ct") for number in range(CTS)]
    headers = [read_header(file) for one in made for file in one.files]
    idle, begun = _rate(transactions), time.monotonic()
    before = transactions() if transactions else 0
    found: list[Mapping[str, Any]] = []

    def read_all() -> None:
        unsent = c_store([header for header in headers if header is not None], server.dicom_port)
        if unsent:
            raise SystemExit(f"not sent: {unsent}")
        found.extend(settled(server, set(), count=CTS))

    answers = answer_times(server, read_all)
    spent = None
    if transactions:  # without what the polls of an idle site take
        spent = max(0.0, transactions() - before - idle * (time.monotonic() - begun)) / CTS
    reads = [(entry["timings"]["wait"], _reading(entry), entry["updated_at"]) for entry in found]
    first = min(end - seconds - wait for wait, seconds, end in reads)
    work = [Work(due=end - seconds - wait - first, seconds=seconds) for wait, seconds, end in reads]
    work.sort(key=lambda one: one.due)
    return Run(
        name=name,
        workers=workers,
        work=work,
        waits=[wait for wait, _, _ in reads],
        seconds=max(end for _, _, end in reads) - first,
        answers=answers,
        transactions=spent,
    )


def _rate(transactions: Callable[[], int] | None, seconds: float = 5.0) -> float:
    """Transactions a second while nothing is read."""
    if transactions is None:
        return 0.0
    before = transactions()
    time.sleep(seconds)
    return (transactions() - before) / seconds


def _reading(entry: Mapping[str, Any]) -> float:
    """Seconds that a series was read, without its wait."""
    return float(sum(seconds for stage, seconds in entry["timings"].items() if stage != "wait"))


def _service(
    folder: Path, synthetic: Path, times: int = 3
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Seconds of several readings of the full-size X-ray and CT, and the MB that travel for each."""
    seconds: dict[str, list[float]] = {}
    megabytes: dict[str, float] = {}
    with running(OrthancServer(folder / "service", stable_age=_STABLE_AGE)) as server:
        for kind in ("xray", "ct"):
            send_folder(server, synthetic / kind)
        entries = settled(server, set(), count=2)
        for entry in entries:
            kind = str(entry["modality"])
            seconds[kind] = [_reading(entry)]
            megabytes[kind] = _megabytes(server, entry)
        for _ in range(times - 1):
            for entry in entries:
                server.post(f"/ai/series/{entry['series']}/run", b"")
            time.sleep(1)
            for entry in settled(server, set(), count=2):
                seconds[str(entry["modality"])].append(_reading(entry))
    return seconds, megabytes


def _megabytes(server: Orthanc, entry: Mapping[str, Any]) -> float:
    """What a worker fetches and stores: the images and the results."""
    images = server.get(f"/series/{entry['series']}/statistics")["DiskSize"]
    results = [stored for stored in entry["outputs"].values() if stored]
    sizes = [int(server.read(f"/instances/{stored}/attachments/dicom/size")) for stored in results]
    return (int(images) + sum(sizes)) / 1e6
