"""Sends series by C-STORE from a thread of its own, again and again until every file is acknowledged."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from demo.send import c_store, read_header
from demo.soak.series import Series

_PAUSE_SECONDS = 0.3


class Postman:
    """One sender. A file counts as acknowledged when Orthanc answered its C-STORE with success."""

    def __init__(self, port: int) -> None:
        """``port``: Orthanc's DICOM port, whether anything listens there just now or not."""
        self._port = port
        self._bag: deque[Series] = deque()
        self._handed: list[Series] = []
        self._acknowledged: set[Path] = set()
        self._failures: dict[Path, str] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="postman", daemon=True)
        self._thread.start()

    def hand(self, series: Iterable[Series]) -> None:
        """Series to send after those that were handed over before."""
        for one in series:
            self._handed.append(one)
            self._bag.append(one)

    @property
    def handed(self) -> tuple[Series, ...]:
        """Every series that was handed over."""
        return tuple(self._handed)

    @property
    def acknowledged(self) -> frozenset[Path]:
        """Every file that has arrived."""
        return frozenset(self._acknowledged)

    def finish(self, *, seconds: float) -> dict[Path, str]:
        """Wait until the bag is empty, and stop. Returns the files that did not arrive in time, and why."""
        deadline = time.monotonic() + seconds
        while self._bag and time.monotonic() < deadline:
            time.sleep(0.05)
        self._stop.set()
        self._thread.join()
        return {
            file: self._failures.get(file, "not sent")
            for series in self._handed
            for file in series.files
            if file not in self._acknowledged
        }

    def _work(self) -> None:
        while not self._stop.wait(0 if self._bag else _PAUSE_SECONDS):
            if not self._bag:
                continue
            series = self._bag[0]
            left = [file for file in series.files if file not in self._acknowledged]
            headers = [header for file in left if (header := read_header(file)) is not None]
            failures = c_store(headers, self._port)
            self._failures |= failures
            self._acknowledged |= {header.path for header in headers} - failures.keys()
            if not failures:
                self._bag.popleft()
            else:
                self._stop.wait(_PAUSE_SECONDS)
