"""A thread that takes one step after another until it is stopped, and waits in between until it is woken."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod


class Loop(ABC):
    """The thread of an engine. Nothing runs before :meth:`start`."""

    def __init__(self, name: str) -> None:
        """``name``: the thread's."""
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def wake(self) -> None:
        """Take the next step now."""
        self._wake.set()

    def stop(self, seconds: float) -> bool:
        """End after this step; whether it did within so long."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(self._step())
            self._wake.clear()

    @abstractmethod
    def _step(self) -> float:
        """One step, which lets nothing out; the seconds to wait after it unless woken."""
