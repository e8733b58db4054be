"""DICOM files are read in a process of their own, so that a bad one can harm nothing else.

Parsing, inflating and decoding happen in a helper, a plain Python beside Orthanc, under limits that the
kernel enforces and no file can lift: memory (RLIMIT_AS), set anew for every file by what an image of its
declared size needs, and computing time (ITIMER_PROF, whose signal ends the process also inside a
decoder). A decoder that crashes takes the helper with it, not Orthanc, and does not hold Orthanc's
interpreter meanwhile. The helper lives as long as its parent: it starts with the first file and ends
when the connection closes, whichever way the parent ended.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from plugin.domain.errors import ImagingError, TooSlow, UndecodablePixels, UnreadableInstance

log = logging.getLogger(__name__)

Kind = Literal["header", "slice", "film"]

SECONDS_PER_INSTANCE = 30.0
SECONDS_PER_SERIES = 120.0
SECONDS_MORE_PER_INSTANCE = 0.5
"""Computing time that one instance may take, and all of a series together: 120 s and half a second each."""

PATIENCE = 10
"""Times its computing time that a file may take by the clock, where the machine is busy."""

BASE_BYTES = 256 << 20
BYTES_PER_PIXEL = 32
"""Memory for one file: the base, four times its size, and so much for each declared pixel."""

_PROCESS = "plugin.dicom.helper_process"
_CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)


class Budget:
    """The computing time, in seconds, that is left for reading one series."""

    def __init__(self, instances: int) -> None:
        """For a series of so many instances, each read once."""
        self.seconds = self.total = SECONDS_PER_SERIES + SECONDS_MORE_PER_INSTANCE * instances

    def next(self) -> float:
        """What the next instance may take. Raises TooSlow where nothing is left."""
        if self.seconds <= 0:
            raise TooSlow(f"reading the series takes more than {self.total:.0f} s of computing time")
        return min(SECONDS_PER_INSTANCE, self.seconds)


@dataclass(frozen=True, kw_only=True)
class Task:
    """What the helper does with a file: ``seconds`` of computing time, ``max_pixels`` of an image."""

    kind: Kind
    seconds: float
    max_pixels: int = 0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of a task: ``value``, and dtype and shape of the array that follows, or the error.

    ``seconds``: computing time; ``notes``: what the helper has to say in the log.
    """

    seconds: float
    notes: tuple[str, ...] = ()
    value: Any = None
    array: tuple[str, tuple[int, ...]] = ("u1", (0,))
    error: ImagingError | None = None


class Helper:
    """The parent's side. One file at a time; a helper that ended is started again with the next."""

    def __init__(self) -> None:
        """Nothing is started yet."""
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection[Any, Any] | None = None

    def header(self, data: bytes, *, budget: Budget, instance_id: str) -> tuple[Dataset, bool, int]:
        """The header of a file, whether it has pixels, and the header's size in bytes.

        Raises as all three: ImagingError with the instance's id where the file cannot be read within its
        limits, OSError where the helper cannot be started or was ended from outside.
        """
        value, _ = self._ask("header", data, budget, instance_id)
        header, has_pixels, size = value
        return header, has_pixels, size

    def ct_slice(
        self, data: bytes, *, budget: Budget, instance_id: str, max_pixels: int
    ) -> tuple[npt.NDArray[np.int16], int, int]:
        """A CT slice as ``plugin.dicom.files.slice_of`` gives it."""
        (low, high), frame = self._ask("slice", data, budget, instance_id, max_pixels)
        return frame, low, high

    def film(
        self, data: bytes, *, budget: Budget, instance_id: str, max_pixels: int
    ) -> npt.NDArray[np.float32]:
        """A radiograph for display as ``plugin.dicom.files.film_of`` gives it."""
        _, picture = self._ask("film", data, budget, instance_id, max_pixels)
        return picture

    def _ask(
        self, kind: Kind, data: bytes, budget: Budget, instance_id: str, max_pixels: int = 0
    ) -> tuple[Any, npt.NDArray[Any]]:
        try:
            task = Task(kind=kind, seconds=budget.next(), max_pixels=max_pixels)
            with self._lock:
                answer, array = self._exchange(task, data)
            budget.seconds -= answer.seconds
            for note in answer.notes:
                log.warning("instance %s: %s", instance_id, note)
            if answer.error is not None:
                raise answer.error
        except ImagingError as error:
            error.instance_id = instance_id
            raise
        return answer.value, array

    def _exchange(self, task: Task, data: bytes) -> tuple[Answer, npt.NDArray[Any]]:
        connection = self._connected()
        try:
            connection.send(task)
            connection.send_bytes(data)
            if not connection.poll(PATIENCE * task.seconds):
                self.close()
                raise TooSlow(f"reading the file takes longer than {PATIENCE * task.seconds:.0f} s")
            answer: Answer = connection.recv()
            dtype, shape = answer.array
            array = np.empty(shape, dtype)
            if array.size:
                connection.recv_bytes_into(array.view(np.uint8).reshape(-1).data)
            return answer, array
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            raise self._ended(task) from error

    def _connected(self) -> Connection[Any, Any]:
        if self._connection is None or self._process is None or self._process.poll() is not None:
            self.close()
            self._connection, theirs = Pipe()
            environment = os.environ | {
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                "OPENBLAS_NUM_THREADS": "1",
            }
            with theirs:
                self._process = subprocess.Popen(
                    [interpreter(), "-P", "-W", "ignore", "-m", _PROCESS, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    env=environment,
                    start_new_session=True,  # a Ctrl-C is for the parent
                )
        return self._connection

    def _ended(self, task: Task) -> Exception:
        """Why the helper ended in the middle of a task."""
        process = self._process
        status = None if process is None else process.wait()
        self.close()
        if status == -signal.SIGPROF:
            return TooSlow(f"reading the file takes more than {task.seconds:.0f} s of computing time")
        if status is not None and -status in _CRASHES:
            if task.kind == "header":
                return UnreadableInstance("the file cannot be read as DICOM: its reader crashed")
            return UndecodablePixels("the pixel data cannot be decoded: the decoder crashed")
        return OSError(f"the process that reads DICOM files ended with status {status}")

    def close(self) -> None:
        """End the helper, whatever it is doing."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = self._connection = None


def interpreter() -> str:
    """A Python of this version. Inside Orthanc ``sys.executable`` is Orthanc itself.

    Raises OSError where there is none.
    """
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if Path(sys.executable or "").name.startswith("python"):
        return sys.executable
    for candidate in (Path(sys.prefix, "bin", name), Path(sys.base_prefix, "bin", name)):
        if candidate.is_file():
            return str(candidate)
    found = shutil.which(name)
    if found is None:
        raise OSError(f"{name} is not installed: DICOM files are read in a process of its own")
    return found


helper = Helper()
"""The one helper of this process."""
