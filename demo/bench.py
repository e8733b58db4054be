"""Benchmarks on a real Orthanc: how long a reading takes, stage by stage, and what the PACS feels of it.

Run as ``python -m demo.bench [FOLDER ...]`` (``./run bench``). What is compared is compared in one run.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pydicom
from pydicom.uid import generate_uid

from demo.fleet.bench import capacity, compare
from demo.measure import answer_times, memory_mib, percentile, running, send_folder, settled
from demo.pages import pages_table
from demo.phantom.files import write_studies
from demo.server import OrthancServer
from demo.soak.series import Factory

STAGES = ("wait", "header", "decode", "screen", "classify", "segment", "measure", "results", "store")
IDLE_SECONDS = 5.0
LARGE = 1000
RESULTS = 300


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="./run bench", description="Benchmarks on a real Orthanc.")
    parser.add_argument("folders", nargs="*", type=Path, help="folders of DICOM files to read as well")
    parser.add_argument("--large", action="store_true", help="read a CT of 1,000 slices, too")
    parser.add_argument(
        "--segmenters", nargs="+", metavar="MODEL", help="instead: a CT by each of these, and by all of them"
    )
    parser.add_argument(
        "--workers",
        type=lambda text: [int(count) for count in text.split(",")],
        metavar="N,...",
        help="only: the same CTs read by Orthanc itself and by so many workers",
    )
    parser.add_argument(
        "--capacity",
        action="store_true",
        help="only: a hospital's day simulated from what is measured here, and held against real runs",
    )
    parser.add_argument(
        "--ct-seconds", type=float, metavar="S", help="with --capacity: seconds for a CT on other workers"
    )
    parser.add_argument(
        "--pages", type=int, metavar="N", help="only: what so many open pages /ai/ cost while nobody reads"
    )
    options = parser.parse_args()
    if options.workers or options.capacity:
        _workers_table(options)
        return
    with tempfile.TemporaryDirectory(prefix="chest-ai-bench-") as scratch:
        synthetic = Path(scratch) / "synthetic"
        write_studies(synthetic)
        if options.pages:
            pages_table(Path(scratch), _factory(Path(scratch), synthetic), options.pages)
            return
        if options.segmenters:
            _write_slices(synthetic / "ct", Path(scratch) / "results", RESULTS)
            _segmenters_table(Path(scratch), options.segmenters)
            return
        studies = {"synthetic X-ray": synthetic / "xray", "synthetic CT": synthetic / "ct"}
        studies |= {folder.name: folder for folder in options.folders}
        if options.large:
            studies["1,000 slices"] = Path(scratch) / "large"
            _write_slices(studies["synthetic CT"], studies["1,000 slices"], LARGE)
        with running(_server(Path(scratch) / "pacs")) as server:
            _reading_table(server, studies)
        with running(_server(Path(scratch) / "pacs2")) as server:
            _load_table(server, studies["synthetic CT"])
        _write_slices(studies["synthetic CT"], Path(scratch) / "results", RESULTS)
        _results_table(Path(scratch))


def _workers_table(options: argparse.Namespace) -> None:
    """What workers bring, and what a day would take."""
    with tempfile.TemporaryDirectory(prefix="chest-ai-bench-") as scratch:
        folder, synthetic = Path(scratch), Path(scratch) / "synthetic"
        write_studies(synthetic)
        factory = _factory(folder, synthetic)
        runs = compare(folder, factory, options.workers or [1, 2])
        if options.capacity:
            capacity(folder, synthetic, runs, ct_seconds=options.ct_seconds)


def _factory(folder: Path, synthetic: Path) -> Factory:
    """Series made of the synthetic studies, below ``folder``."""
    slices = list((synthetic / "ct").iterdir())
    return Factory(xray=synthetic / "xray" / "xray.dcm", ct=slices, folder=folder / "sent", seed=1)


def _reading_table(server: OrthancServer, studies: Mapping[str, Path]) -> None:
    """Seconds from stable to stored, by stage, and the most memory that Orthanc has ever had."""
    print("\nFrom stable to stored, in seconds (share of each stage)\n")
    print("| Series | Instances | State | Peak memory | Total | " + " | ".join(STAGES) + " |")
    print("|---" * (5 + len(STAGES)) + "|")
    known: set[str] = set()
    for name, folder in studies.items():
        files = send_folder(server, folder)
        for entry in settled(server, known):
            known.add(entry["series"])
            timings = entry["timings"]
            total = sum(timings.values())
            shares = " | ".join(
                f"{timings.get(stage, 0):.2f} ({timings.get(stage, 0) / total:.0%})" for stage in STAGES
            )
            peak = memory_mib(server, peak=True)
            row = f"| {name} | {files} | {entry['state']} | {peak} MiB | **{total:.1f}** |"
            print(f"{row} {shares} |", flush=True)


def _load_table(server: OrthancServer, folder: Path) -> None:
    """What Orthanc's own work takes while a CT is being read, beside what it takes when idle."""
    status: list[float] = []
    idle = answer_times(server, lambda: time.sleep(IDLE_SECONDS))
    send_folder(server, folder)
    _wait_for_running(server)

    def read_it() -> None:
        status.extend(answer_times(server, lambda: settled(server, set()), "/ai/status"))

    busy = answer_times(server, read_it)
    print("\nOrthanc's answers to GET /system (ms), idle and while a CT is read; the plugin's meanwhile\n")
    print("| | Median | 99 of 100 within | Slowest | Answers |")
    print("|---|---|---|---|---|")
    for name, seconds in (("idle", idle), ("reading", busy), ("reading, GET /ai/status", status)):
        print(
            f"| {name} | {1000 * statistics.median(seconds):.1f} | {1000 * percentile(seconds, 99):.1f} "
            f"| {1000 * max(seconds):.1f} | {len(seconds)} |"
        )
    ratio = statistics.median(busy) / statistics.median(idle)
    print(f"\nRatio of the medians: {ratio:.2f}", flush=True)


def _results_table(scratch: Path) -> None:
    """Seconds to make and to store all results of a CT of 300 slices, and their size."""
    print(f"\nAll results of a CT of {RESULTS} x 512 x 512\n")
    print("| Segmentation | Make (s) | Store (s) | SEG (MB) | All (MB) |")
    print("|---|---|---|---|---|")
    for kind in ("BINARY", "BINARY_DEFLATED", "LABELMAP"):
        with running(_server(scratch / kind, {"SegmentationType": kind})) as server:
            send_folder(server, scratch / "results")
            (entry,) = settled(server, set())
            sizes = {
                result: int(server.read(f"/instances/{stored}/attachments/dicom/size")) / 1e6
                for result, stored in entry["outputs"].items()
                if stored
            }
        make, store = (entry["timings"][stage] for stage in ("results", "store"))
        total = sum(sizes.values())
        print(f"| {kind} | {make:.2f} | {store:.2f} | {sizes['seg']:.1f} | {total:.1f} |", flush=True)


def _segmenters_table(scratch: Path, names: Sequence[str]) -> None:
    """Seconds and memory of a CT of 300 slices by each segmenter, and by all of them beside each other."""
    print(f"\nA CT of {RESULTS} x 512 x 512 by its segmenters, from stable to stored\n")
    print("| Segmenters | Segment (s) | Total (s) | Peak memory |")
    print("|---|---|---|---|")
    for chosen in [*([name] for name in names), list(names)]:
        data = scratch / "-".join(chosen)
        with running(_server(data, {"Models": {"CtSegmentation": chosen}})) as server:
            send_folder(server, scratch / "results")
            (entry,) = settled(server, set())
            timings, peak = entry["timings"], memory_mib(server, peak=True)
        total = sum(seconds for stage, seconds in timings.items() if stage != "wait")
        print(f"| {' + '.join(chosen)} | {timings['segment']:.1f} | {total:.1f} | {peak} MiB |", flush=True)


def _server(data: Path, chest_ai: Mapping[str, Any] | None = None) -> OrthancServer:
    return OrthancServer(data, stable_age=3, chest_ai=chest_ai)


def _write_slices(ct: Path, folder: Path, count: int) -> None:
    """The slices of a CT, each several times, as one series of ``count`` over the same length."""
    folder.mkdir()
    slices = [pydicom.dcmread(path) for path in ct.iterdir()]
    slices.sort(key=lambda slice_: float(slice_.ImagePositionPatient[2]))
    low, high = (float(slices[end].ImagePositionPatient[2]) for end in (0, -1))
    series = generate_uid()
    for number in range(count):
        slice_ = slices[number * len(slices) // count]
        x, y, _ = slice_.ImagePositionPatient
        slice_.ImagePositionPatient = [x, y, round(low + (high - low) * number / (count - 1), 4)]
        slice_.SeriesInstanceUID = series
        slice_.SOPInstanceUID = slice_.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        slice_.InstanceNumber = number + 1
        slice_.save_as(folder / f"{number:04d}.dcm")


def _wait_for_running(server: OrthancServer) -> None:
    while not server.get("/ai/status")["running"]:
        time.sleep(0.02)


if __name__ == "__main__":
    main()
