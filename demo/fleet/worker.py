"""A worker of the engine "celery" as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from demo.server import ROOT, ServerError

ORTHANC_URL = "CHEST_AI_ORTHANC_URL"
"""The variable by which a configuration that Orthanc and workers share says where Orthanc is."""

STOP_SECONDS = 60


def python() -> str:
    """The Python that has what workers need: their own environment, else the one that runs this."""
    own = ROOT / ".venv-worker" / "bin" / "python"
    return str(own) if own.exists() else sys.executable


class WorkerProcess:
    """``./run worker`` with its child, in a process group of their own."""

    def __init__(self, name: str, *, configuration: Path, orthanc_url: str, queues: str, log: Path) -> None:
        """Start it. ``name``: how the status calls it, before a suffix that it gives itself."""
        self.name = name
        self.log = log
        options = ["--queues", queues, "--configuration", str(configuration), "--name", name]
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [python(), "-m", "plugin.remote", *options],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=ROOT,
                env={**os.environ, ORTHANC_URL: orthanc_url},
                start_new_session=True,
            )

    @property
    def exit_status(self) -> int | None:
        """The status with which it has ended, or None while it runs."""
        return self._process.poll()

    def kill(self) -> None:
        """End it at once, with its child (SIGKILL)."""
        if self._process.poll() is None:
            self._signal(signal.SIGKILL)
        self._process.wait()

    def kill_child(self) -> None:
        """End the process that reads, as the system does where memory runs out (SIGKILL)."""
        own = self._process.pid
        for child in Path(f"/proc/{own}/task/{own}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)

    def freeze(self) -> None:
        """Let it stand still, with its child (SIGSTOP)."""
        self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Let it go on after :meth:`freeze`."""
        self._signal(signal.SIGCONT)

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """End it cleanly. Raises ServerError where it does not end in time, or ends with an error."""
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerError(f"worker {self.name} did not stop in {seconds} s:\n{self.log_tail()}") from None
        if status != 0:
            raise ServerError(f"worker {self.name} stopped with status {status}:\n{self.log_tail()}")

    def log_tail(self, lines: int = 25) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _signal(self, number: signal.Signals) -> None:
        os.killpg(self._process.pid, number)
