"""The helper's side of :mod:`plugin.dicom.helper`: one file after the other, each under its limits."""

from __future__ import annotations

import logging
import resource
import signal
import sys
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from plugin.dicom import files
from plugin.dicom.helper import BASE_BYTES, BYTES_PER_PIXEL, Answer, Task
from plugin.domain.errors import ImagingError, TooLarge

log = logging.getLogger(__name__)

_MOST_NOTES = 20


class Notes(logging.Handler):
    """Keeps what is logged, for the parent to log."""

    def __init__(self) -> None:
        """Nothing is noted yet."""
        super().__init__(logging.WARNING)
        self._messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Note one record, if there are not too many already."""
        if len(self._messages) < _MOST_NOTES:
            self._messages.append(record.getMessage()[:500])

    def take(self) -> tuple[str, ...]:
        """What was noted since the last time."""
        taken = tuple(self._messages)
        self._messages.clear()
        return taken


def serve(connection: Connection[Any, Any], notes: Notes) -> None:
    """Do one task after the other until the parent is gone."""
    while True:
        try:
            task: Task = connection.recv()
            data = connection.recv_bytes()
        except EOFError:
            return
        answer, array = _do(task, data, notes)
        connection.send(answer)
        if array.size:
            connection.send_bytes(array.view(np.uint8).reshape(-1).data)


def _do(task: Task, data: bytes, notes: Notes) -> tuple[Answer, npt.NDArray[Any]]:
    value: Any = None
    array: npt.NDArray[Any] = np.empty(0, np.uint8)
    error: ImagingError | None = None
    begun = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, task.seconds)
    allowed = BASE_BYTES + 4 * len(data) + BYTES_PER_PIXEL * task.max_pixels
    _limit_memory(allowed)
    try:
        match task.kind:
            case "header":
                value = files.header_of(data)
            case "slice":
                array, *value = files.slice_of(data, max_pixels=task.max_pixels)
            case "film":
                array = files.film_of(data, max_pixels=task.max_pixels)
    except ImagingError as problem:
        error = problem
    except MemoryError:
        error = TooLarge(f"reading the file takes more than {allowed >> 20} MiB of memory")
    except Exception as problem:  # noqa: BLE001 - what no check foresaw is a property of the file, too
        place = traceback.extract_tb(problem.__traceback__)[-1]
        log.warning("%s in %s:%s", type(problem).__name__, Path(place.filename).name, place.lineno)
        error = ImagingError("the file cannot be read: its header and its pixels do not go together")
    finally:
        _limit_memory(None)
        signal.setitimer(signal.ITIMER_PROF, 0)
    array = np.ascontiguousarray(array)
    answer = Answer(
        seconds=time.process_time() - begun,
        notes=notes.take(),
        value=value,
        array=(array.dtype.str, array.shape),
        error=error,
    )
    return answer, array


def _limit_memory(more: int | None) -> None:
    """Let this process take so many bytes beyond what it has, then MemoryError; None: as many as it may."""
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    limit = most
    if more is not None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + more
        limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
    resource.setrlimit(resource.RLIMIT_AS, (limit, most))


def _main() -> None:
    Path("/proc/self/oom_score_adj").write_text("1000")  # short of memory, the kernel ends this, not Orthanc
    notes = Notes()
    logging.getLogger().handlers = [logging.NullHandler()]  # pydicom's words may quote the patient
    logging.getLogger("plugin").handlers = [notes]
    serve(Connection(int(sys.argv[1])), notes)


if __name__ == "__main__":
    _main()
