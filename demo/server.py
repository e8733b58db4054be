"""A real Orthanc with the plugin, as a process of its own.

Run as ``python -m demo.server`` it becomes that Orthanc, until it is stopped (``./run serve``).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from demo.rest import Orthanc

ROOT = Path(__file__).resolve().parent.parent
ORTHANC = "/usr/sbin/Orthanc"
START_SECONDS = 60
STOP_SECONDS = 60


class ServerError(Exception):
    """Orthanc does not start, or ended by itself. The message holds the end of its log."""


def free_port() -> int:
    """A TCP port that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def is_taken(port: int) -> bool:
    """Whether something listens on this TCP port of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return True
    return False


def write_configuration(
    data: Path,
    *,
    http_port: int,
    dicom_port: int,
    stable_age: int,
    chest_ai: Mapping[str, Any] | None = None,
    orthanc: Mapping[str, Any] | None = None,
) -> Path:
    """Write the repository's ``orthanc.json``, made local to the folder ``data``, into that folder.

    ``chest_ai``: the plugin's own section; ``orthanc``: any other of Orthanc's options.
    """
    data = data.resolve()
    storage, temporary = data / "db", data / "tmp"
    for folder in (storage, temporary):
        folder.mkdir(parents=True, exist_ok=True)
    configuration: dict[str, Any] = json.loads((ROOT / "orthanc.json").read_text())
    configuration |= {
        "StorageDirectory": str(storage),
        "IndexDirectory": str(storage),
        "TemporaryDirectory": str(temporary),
        "HttpPort": http_port,
        "DicomPort": dicom_port,
        "StableAge": stable_age,
        "PythonScript": str(ROOT / "plugin" / "main.py"),
    }
    configuration |= orthanc or {}
    configuration["ChestAI"] = {**configuration["ChestAI"], **(chest_ai or {})}
    path = data / "orthanc.json"
    path.write_text(json.dumps(configuration, indent=2) + "\n")
    return path


class OrthancServer(Orthanc):
    """One Orthanc process over one data folder, for the demo and the tests.

    The data stay when it is stopped or killed, so that it can be started again over them.
    ``log``: where its log lines go, appended over restarts.
    """

    def __init__(
        self,
        data: Path,
        *,
        stable_age: int = 1,
        chest_ai: Mapping[str, Any] | None = None,
        orthanc: Mapping[str, Any] | None = None,
    ) -> None:
        self.data = data
        self.http_port = free_port()
        self.dicom_port = free_port()
        super().__init__(f"http://127.0.0.1:{self.http_port}")
        self.log = data / "orthanc.log"
        self._process: subprocess.Popen[bytes] | None = None
        data.mkdir(parents=True, exist_ok=True)
        self._configuration = write_configuration(
            data,
            http_port=self.http_port,
            dicom_port=self.dicom_port,
            stable_age=stable_age,
            chest_ai=chest_ai,
            orthanc=orthanc,
        )

    @property
    def pid(self) -> int | None:
        """The process's id, or None when it does not run."""
        return None if self._process is None else self._process.pid

    @property
    def exit_status(self) -> int | None:
        """The status with which Orthanc has ended by itself (minus the signal's number), or None."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start Orthanc and wait until it answers. Raises ServerError where it does not."""
        with self.log.open("ab") as log:
            # In a session of its own, so that Ctrl-C reaches only the caller, who then stops it.
            self._process = subprocess.Popen(
                [ORTHANC, str(self._configuration)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None:
                raise ServerError(f"Orthanc ended with status {self._process.returncode}:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise ServerError(f"Orthanc did not answer in {START_SECONDS} s:\n{self.log_tail()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop Orthanc cleanly. Raises ServerError where it has to be killed, or ends with an error."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise ServerError(f"Orthanc did not stop in {STOP_SECONDS} s:\n{self.log_tail()}") from None
        if status != 0:
            raise ServerError(f"Orthanc stopped with status {status}:\n{self.log_tail()}")

    def kill(self) -> None:
        """End Orthanc at once, as a power cut would (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def log_tail(self, lines: int = 25) -> str:
        """The last lines of Orthanc's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _answers(self) -> bool:
        try:
            self.read("/system")
        except urllib.error.HTTPError as error:
            return error.code == 401  # it asks for a password
        except OSError:
            return False
        return True


def main(arguments: list[str] | None = None) -> None:
    """Become an Orthanc with the plugin, in the foreground; signals then go to Orthanc itself."""
    parser = argparse.ArgumentParser(prog="./run serve", description="Run Orthanc with the plugin.")
    parser.add_argument("--http-port", type=int, default=8042, metavar="N")
    parser.add_argument("--dicom-port", type=int, default=4242, metavar="N")
    parser.add_argument("--data", type=Path, default=ROOT / "var" / "data", metavar="DIR")
    parser.add_argument("--stable-age", type=int, default=60, metavar="S")
    options = parser.parse_args(arguments)
    for name in ("http_port", "dicom_port"):
        port = getattr(options, name)
        if is_taken(port):
            option = name.replace("_", "-")
            parser.exit(1, f"port {port} is taken: choose another one with --{option}\n")
    configuration = write_configuration(
        options.data,
        http_port=options.http_port,
        dicom_port=options.dicom_port,
        stable_age=options.stable_age,
    )
    url = f"http://127.0.0.1:{options.http_port}"
    print(f"PACS       {url}/app/explorer.html")
    print(f"Page       {url}/ai/")
    print(f"Status     {url}/ai/status")
    print(f"DICOM      port {options.dicom_port}, AE title ORTHANC: stores from any host that reaches it")
    print(f"Data       {options.data.resolve()}")
    print("Ctrl-C stops it.", flush=True)
    os.execv(ORTHANC, [ORTHANC, str(configuration)])  # noqa: S606 - no shell is meant


if __name__ == "__main__":
    main()
