"""A RabbitMQ server of its own: a folder, ports and a port mapper of its own, an ordinary process."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from demo.server import ServerError, free_port

_START_SECONDS = 90
_GREETING, _METHOD_FRAME = b"AMQP\x00\x00\x09\x01", b"\x01"
"""How a client of AMQP 0-9-1 begins, and how a broker that is ready answers (sections 4.2.2 and 4.2.3)."""


def program() -> Path | None:
    """RabbitMQ's own script that starts a server, None where it is not installed."""
    found = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server"))
    return found[-1] if found else None


@dataclass(frozen=True, kw_only=True)
class Tls:
    """PEM files of a server that speaks TLS and nothing else, and takes clients whom the authority signed."""

    authority: Path
    certificate: Path
    key: Path


class RabbitServer:
    """One server over a folder of its own, on loopback, with RabbitMQ's own user ``guest``."""

    def __init__(self, script: Path, tls: Tls | None = None) -> None:
        """``script``: as :func:`program` finds it; without ``tls`` nothing is encrypted."""
        self._script = script
        self._tls = tls
        self._folder = Path(tempfile.mkdtemp(prefix="chest-ai-rabbit-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self._mapper_port = free_port()
        (self._folder / "plugins").write_text("[].\n")
        (self._folder / "rabbitmq.conf").write_text(
            f"{self._listener()}\nlog.console = true\nlog.console.level = warning\n"
            "disk_free_limit.absolute = 1MB\n"
        )
        # Erlang would start its port mapper by itself, as a daemon that nobody ends.
        self._mapper = subprocess.Popen(["epmd"], env=self._environment(), start_new_session=True)

    @property
    def url(self) -> str:
        """The broker's URL."""
        return f"{'amqp' if self._tls is None else 'amqps'}://guest:guest@127.0.0.1:{self.port}//"

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start it, without waiting."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._script)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env=self._environment(),
                start_new_session=True,
            )

    def wait(self) -> None:
        """Wait until it takes connections. Raises ServerError where it does not."""
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                raise ServerError(f"RabbitMQ does not start: {(self._folder / 'log').read_text()}")
            time.sleep(0.2)

    def kill(self) -> None:
        """End it at once, as a machine that loses its power does."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait(30)
            self._process = None

    def freeze(self) -> None:
        """Let it stand still (SIGSTOP)."""
        self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Let it go on after :meth:`freeze`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal to the script and to the server that it started."""
        if self._process is not None:
            os.killpg(self._process.pid, number)

    def wipe(self) -> None:
        """End it, and delete all that it kept."""
        self.kill()
        shutil.rmtree(self._folder / "data", ignore_errors=True)

    def remove(self) -> None:
        """End it with its port mapper and delete its folder."""
        self.kill()
        self._mapper.kill()
        self._mapper.wait(30)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _listener(self) -> str:
        """Where it listens, as its configuration says it."""
        if self._tls is None:
            return f"listeners.tcp.1 = 127.0.0.1:{self.port}"
        return (
            f"listeners.tcp = none\nlisteners.ssl.1 = 127.0.0.1:{self.port}\n"
            f"ssl_options.cacertfile = {self._tls.authority}\n"
            f"ssl_options.certfile = {self._tls.certificate}\nssl_options.keyfile = {self._tls.key}\n"
            "ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true"
        )

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                if self._tls is not None:
                    return _speaks_tls(connection)
                connection.sendall(_GREETING)
                return connection.recv(1) == _METHOD_FRAME
        except OSError:
            return False

    def _environment(self) -> dict[str, str]:
        settings = {
            "NODENAME": f"chest{self.port}@localhost",
            "DIST_PORT": str(free_port()),
            "CONFIG_FILE": str(self._folder / "rabbitmq.conf"),
            "CONF_ENV_FILE": "/dev/null",
            "ENABLED_PLUGINS_FILE": str(self._folder / "plugins"),
            "MNESIA_BASE": str(self._folder / "data"),
            "LOG_BASE": str(self._folder / "logs"),
            "PID_FILE": str(self._folder / "pid"),
            "SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none",
        }
        environment = {f"RABBITMQ_{name}": value for name, value in settings.items()}
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            **environment,
        }


def _speaks_tls(connection: socket.socket) -> bool:
    """Whether a server answers in TLS, whoever it is. RabbitMQ listens when it has started all else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with context.wrap_socket(connection) as answered:
        return answered.version() is not None
