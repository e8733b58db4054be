"""Orthanc, PostgreSQL, RabbitMQ and workers put together over one folder."""

from __future__ import annotations

import importlib.util
import site
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from demo.fleet.postgres import PostgresServer
from demo.fleet.postgres import binaries as postgres_programs
from demo.fleet.rabbitmq import RabbitServer, Tls
from demo.fleet.rabbitmq import program as rabbitmq_program
from demo.fleet.worker import ORTHANC_URL, WorkerProcess
from demo.server import ORTHANC, ROOT, OrthancServer

LEASE_SECONDS = 4
"""How long a worker may be silent here; a hospital's has a minute."""

BOTH = "rx-jobs,ct-jobs"

_WITH_PACKAGES = """import sys
sys.path[:0] = {paths!r}
from plugin.main import register
register()
"""


def why_not() -> str | None:
    """What is not installed here that such a site needs; None where it can be started."""
    if not Path(ORTHANC).exists():
        return "Orthanc is not installed"
    if postgres_programs() is None:
        return "PostgreSQL's server is not installed"
    if rabbitmq_program() is None:
        return "RabbitMQ is not installed (rabbitmq-server)"
    if importlib.util.find_spec("celery") is None and not (ROOT / ".venv-worker" / "stamp").exists():
        return 'the engine "celery" is not installed (./run install --celery)'
    return None


class Site:
    """One installation. Everything in it may be killed and started again by its own methods."""

    def __init__(
        self,
        folder: Path,
        *,
        stable_age: int = 1,
        chest_ai: Mapping[str, Any] | None = None,
        tls: Tls | None = None,
    ) -> None:
        """Start the database, and begin to start the broker, with ``tls`` over TLS. See :func:`why_not`."""
        programs, script = postgres_programs(), rabbitmq_program()
        if programs is None or script is None:
            raise FileNotFoundError(str(why_not()))
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._section = dict(chest_ai or {})
        self.postgres = PostgresServer(programs)
        self.rabbit = RabbitServer(script, tls)
        self.rabbit.launch()
        self.postgres.start()
        self.ledger_url = self.postgres.create_database("ledger")
        self.workers: dict[str, WorkerProcess] = {}
        self.script = self._script()
        self.orthanc = OrthancServer(
            folder / "pacs",
            stable_age=stable_age,
            chest_ai=self.section("celery"),
            orthanc={"PythonScript": str(self.script)},
        )

    def start(self) -> None:
        """Start Orthanc, and wait for the broker."""
        self.orthanc.start()
        self.rabbit.wait()

    def section(self, engine: str) -> dict[str, Any]:
        """The plugin's section of Orthanc's configuration with this engine."""
        return {
            "Ledger": self.ledger_url,
            "Engine": engine,
            "LeaseSeconds": LEASE_SECONDS,
            "PollSeconds": 1,
            "RetrySeconds": 1,
            "Orthanc": {"Url": f"${{{ORTHANC_URL}:-http://127.0.0.1:8042}}"},
            **self._section,
            "Celery": {"BrokerUrl": self.rabbit.url, "GraceSeconds": 1, **self._section.get("Celery", {})},
        }

    def start_worker(self, name: str, queues: str = BOTH) -> WorkerProcess:
        """One more worker, or one again after it has ended."""
        self.workers[name] = WorkerProcess(
            name,
            configuration=self.orthanc.data / "orthanc.json",
            orthanc_url=self.orthanc.url,
            queues=queues,
            log=self._folder / f"{name}.log",
        )
        return self.workers[name]

    def alive(self) -> list[str]:
        """The workers that Orthanc's status shows at work, by the names that they were started under."""
        workers = self.orthanc.get("/ai/status").get("workers", [])
        return [_given(worker["name"]) for worker in workers if worker["state"] == "alive"]

    def reading(self, stage: str | None = None) -> dict[str, str]:
        """Which worker reads which series now, by the names that they were started under; of a stage only."""
        running = self.orthanc.get("/ai/status")["running"]
        return {
            _given(one["worker"]): one["series"] for one in running if stage is None or one["stage"] == stage
        }

    def remove(self) -> None:
        """End everything, and delete what the database and the broker kept."""
        for worker in self.workers.values():
            worker.kill()
        self.orthanc.kill()
        self.rabbit.remove()
        self.postgres.remove()

    def logs(self, lines: int = 60) -> str:
        """The ends of all logs."""
        tails = [(name, worker.log_tail(lines)) for name, worker in self.workers.items()]
        return "\n".join(
            f"--- {name}\n{tail}" for name, tail in [*tails, ("Orthanc", self.orthanc.log_tail(lines))]
        )

    def _script(self) -> Path:
        """What Orthanc loads: the plugin, which finds the packages of its engine wherever they are here."""
        found = [] if (ROOT / ".venv-worker" / "stamp").exists() else site.getsitepackages()
        script = self._folder / "with_packages.py"
        script.write_text(_WITH_PACKAGES.format(paths=[str(ROOT), *found]))
        return script


def _given(name: str) -> str:
    return name.rpartition("-")[0]
