"""Benchmarks on a real Orthanc: how long a reading takes, stage by stage, and what the PACS feels of it.

Run as ``python -m demo.bench [FOLDER ...]`` (``./run bench``). What is compared is compared in one run.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydicom
from pydicom.uid import generate_uid

from demo.client import SETTLED, wait_until_loaded
from demo.phantom.files import write_studies
from demo.send import c_store, read_header
from demo.server import OrthancServer

STAGES = ("wait", "header", "decode", "screen", "classify", "segment", "measure", "results", "store")
PROBE_SECONDS = 0.05
IDLE_SECONDS = 5.0
LARGE = 1000
RESULTS = 300


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="./run bench", description="Benchmarks on a real Orthanc.")
    parser.add_argument("folders", nargs="*", type=Path, help="folders of DICOM files to read as well")
    parser.add_argument("--large", action="store_true", help="read a CT of 1,000 slices, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chest-ai-bench-") as scratch:
        synthetic = Path(scratch) / "synthetic"
        write_studies(synthetic)
        studies = {"synthetic X-ray": synthetic / "xray", "synthetic CT": synthetic / "ct"}
        studies |= {folder.name: folder for folder in options.folders}
        if options.large:
            studies["1,000 slices"] = Path(scratch) / "large"
            _write_slices(studies["synthetic CT"], studies["1,000 slices"], LARGE)
        with _running(Path(scratch) / "pacs") as server:
            _reading_table(server, studies)
        with _running(Path(scratch) / "pacs2") as server:
            _load_table(server, studies["synthetic CT"])
        _write_slices(studies["synthetic CT"], Path(scratch) / "results", RESULTS)
        _results_table(Path(scratch))


def _reading_table(server: OrthancServer, studies: Mapping[str, Path]) -> None:
    """Seconds from stable to stored, by stage, and the most memory that Orthanc has ever had."""
    print("\nFrom stable to stored, in seconds (share of each stage)\n")
    print("| Series | Instances | State | Peak memory | Total | " + " | ".join(STAGES) + " |")
    print("|---" * (5 + len(STAGES)) + "|")
    known: set[str] = set()
    for name, folder in studies.items():
        files = _send(server, folder)
        for entry in _settled(server, known):
            known.add(entry["series"])
            timings = entry["timings"]
            total = sum(timings.values())
            shares = " | ".join(
                f"{timings.get(stage, 0):.2f} ({timings.get(stage, 0) / total:.0%})" for stage in STAGES
            )
            row = f"| {name} | {files} | {entry['state']} | {_peak_mib(server)} MiB | **{total:.1f}** |"
            print(f"{row} {shares} |", flush=True)


def _load_table(server: OrthancServer, folder: Path) -> None:
    """What Orthanc's own work takes while a CT is being read, beside what it takes when idle."""
    idle = _answers(server, lambda: time.sleep(IDLE_SECONDS))
    _send(server, folder)
    _wait_for_running(server)
    busy = _answers(server, lambda: _settled(server, set()))
    print("\nOrthanc's answers to GET /system (ms), idle and while a CT is read\n")
    print("| | Median | 99 of 100 within | Slowest | Answers |")
    print("|---|---|---|---|---|")
    for name, seconds in (("idle", idle), ("reading", busy)):
        print(
            f"| {name} | {1000 * statistics.median(seconds):.1f} | {1000 * _percentile(seconds, 99):.1f} "
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
        with _running(scratch / kind, chest_ai={"SegmentationType": kind}) as server:
            _send(server, scratch / "results")
            (entry,) = _settled(server, set())
            sizes = {
                result: int(server.read(f"/instances/{stored}/attachments/dicom/size")) / 1e6
                for result, stored in entry["outputs"].items()
                if stored
            }
        make, store = (entry["timings"][stage] for stage in ("results", "store"))
        total = sum(sizes.values())
        print(f"| {kind} | {make:.2f} | {store:.2f} | {sizes['seg']:.1f} | {total:.1f} |", flush=True)


@contextmanager
def _running(data: Path, chest_ai: Mapping[str, Any] | None = None) -> Iterator[OrthancServer]:
    server = OrthancServer(data, stable_age=3, chest_ai=chest_ai)
    server.start()
    try:
        status = wait_until_loaded(server)
        if status["state"] == "disabled":
            raise SystemExit(f"the plugin is disabled: {status['reason']}")
        yield server
    finally:
        server.stop()


def _peak_mib(server: OrthancServer) -> int:
    """The most resident memory that the Orthanc process has had, in MiB (proc(5), VmHWM)."""
    lines = Path(f"/proc/{server.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


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


def _send(server: OrthancServer, folder: Path) -> int:
    headers = [read_header(path) for path in sorted(folder.rglob("*")) if path.is_file()]
    files = [header for header in headers if header is not None]
    unsent = c_store(files, server.dicom_port)
    if unsent:
        raise SystemExit(f"not sent: {unsent}")
    return len(files)


def _settled(server: OrthancServer, known: set[str]) -> Sequence[Mapping[str, Any]]:
    """The series that are new since ``known``, once they are settled."""
    while True:
        entries = [e for e in server.get("/ai/series?limit=1000") if e["series"] not in known]
        if entries and all(entry["state"] in SETTLED for entry in entries):
            return entries
        time.sleep(0.2)


def _wait_for_running(server: OrthancServer) -> None:
    while not server.get("/ai/status")["running"]:
        time.sleep(0.02)


def _answers(server: OrthancServer, action: Callable[[], Any]) -> list[float]:
    """Seconds that Orthanc's answers took while an action lasted."""
    seconds: list[float] = []
    stop = threading.Event()

    def probe() -> None:
        while not stop.wait(PROBE_SECONDS):
            begin = time.perf_counter()
            server.read("/system")
            seconds.append(time.perf_counter() - begin)

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        action()
    finally:
        stop.set()
        thread.join()
    return seconds


def _percentile(seconds: Sequence[float], percent: int) -> float:
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


if __name__ == "__main__":
    main()
