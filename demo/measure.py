"""What the benchmarks and the torture tests measure of a running Orthanc: memory, answers, the end of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from demo.client import SETTLED, wait_until_loaded
from demo.rest import Orthanc
from demo.send import c_store, read_header
from demo.server import OrthancServer

PROBE_SECONDS = 0.05
"""How long a probe waits between two requests."""


@contextmanager
def running(server: OrthancServer) -> Iterator[OrthancServer]:
    """Start a server, give it once its models are loaded, stop it. Ends the program where it is disabled."""
    server.start()
    try:
        status = wait_until_loaded(server)
        if status["state"] == "disabled":
            raise SystemExit(f"the plugin is disabled: {status['reason']}")
        yield server
    finally:
        server.stop()


def send_folder(server: OrthancServer, folder: Path) -> int:
    """Send every DICOM file under a folder by C-STORE, and tell how many. Ends the program at a refusal."""
    headers = [read_header(path) for path in sorted(folder.rglob("*")) if path.is_file()]
    files = [header for header in headers if header is not None]
    unsent = c_store(files, server.dicom_port)
    if unsent:
        raise SystemExit(f"not sent: {unsent}")
    return len(files)


def settled(server: Orthanc, known: set[str], *, count: int = 1) -> Sequence[Mapping[str, Any]]:
    """The series that are new since ``known``, once ``count`` of them are there and all are settled."""
    while True:
        entries = [entry for entry in server.get("/ai/series?limit=1000") if entry["series"] not in known]
        if len(entries) >= count and all(entry["state"] in SETTLED for entry in entries):
            return entries
        time.sleep(0.2)


def memory_mib(server: OrthancServer, *, peak: bool = False) -> int:
    """Resident memory of the Orthanc process in MiB: now, or the most it has ever had (proc(5))."""
    field = "VmHWM:" if peak else "VmRSS:"
    lines = Path(f"/proc/{server.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith(field))


def answer_times(server: Orthanc, action: Callable[[], Any], path: str = "/system") -> list[float]:
    """Seconds that each answer to ``GET path`` took while an action lasted. Raises what the action raises."""
    seconds: list[float] = []
    stop = threading.Event()

    def probe() -> None:
        while not stop.wait(PROBE_SECONDS):
            begin = time.perf_counter()
            server.read(path)
            seconds.append(time.perf_counter() - begin)

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        action()
    finally:
        stop.set()
        thread.join()
    return seconds


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that ``percent`` of 100 values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
