"""The engine "celery" inside Orthanc: hands what is due to the broker, and keeps the workers' leases.

The ledger is the truth, the broker only tells workers that there is work. What a broker has lost is owed all
the same and handed out again; what it delivers twice is claimed once.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping
from typing import Any

from kombu import Connection
from sqlalchemy.exc import SQLAlchemyError

from plugin.models.lineup import Lineup
from plugin.queue.database import Unavailable, reason
from plugin.queue.fleet import KEEPER, Member
from plugin.queue.ledger import Entry, Ledger
from plugin.queue.loop import Loop
from plugin.remote.broker import BROKER_ERRORS, DEAD_QUEUE, QUEUES, TASK, count_ready, make_app
from plugin.remote.tls import broker_trouble
from plugin.settings import Settings

log = logging.getLogger(__name__)

_AT_ONCE = 100
"""How many series are handed over before the ledger is told."""

_LOST_SECONDS = 10.0
"""How long a message may be on its way, before an empty queue means that it is lost, or waits behind another
reading at a worker that reads from several queues: then it is handed out again, to whoever is free.
"""

_ANSWER_SECONDS = 10
"""How long the broker may take for an answer."""

_SILENT_SECONDS = 600.0
"""After this time without a word a worker is no longer listed."""

_URGENT = 9
"""The priority of a series that goes ahead of the others; quorum queues heed it from RabbitMQ 4.0 on."""


class Publisher(Loop):
    """One thread that publishes what the ledger says is due, as long as this Orthanc is its keeper."""

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        """Nothing runs before :meth:`start`."""
        super().__init__("chest-ai-publisher")
        self._settings = settings
        self._ledger = ledger
        self._app = make_app(settings.celery)
        self._connection: Connection | None = None
        self._ready: dict[str, int] = {}
        self._members: list[Member] = []
        self._keeps = False
        self._broker_trouble: str | None = None
        self._ledger_trouble: str | None = None

    @property
    def running(self) -> list[dict[str, Any]]:
        """What is being read now, and by whom."""
        return [{**member.running, "worker": member.name} for member in self._alive() if member.running]

    @property
    def trouble(self) -> str | None:
        """Why nothing is published, or a worker cannot go on."""
        held_up = (member.running.get("trouble") for member in self._alive() if member.running)
        return self._ledger_trouble or self._broker_trouble or next(filter(None, held_up), None)

    @property
    def keeps(self) -> bool:
        """Whether this Orthanc is the one that takes in what arrives, of those that share the ledger."""
        return self._keeps

    def status(self) -> dict[str, Any]:
        """The workers, and the queues with what waits in them."""
        backlog = self._ledger.backlog()
        return {
            "keeper": self._keeps,
            "workers": [_shown(member, self._settings.lease_seconds) for member in self._members],
            "queues": {
                QUEUES[modality]: {
                    "ready": self._ready.get(QUEUES[modality]),
                    "waiting": owed.waiting,
                    "running": owed.running,
                    "oldest_seconds": round(owed.oldest_seconds, 1),
                }
                for modality, owed in backlog.items()
            }
            | {DEAD_QUEUE: {"ready": self._ready.get(DEAD_QUEUE)}},
        }

    def metrics(self) -> Mapping[str, float]:
        """The same as numbers, by the names of Orthanc's metrics."""
        alive = self._alive()
        found: dict[str, float] = {}
        for modality, owed in self._ledger.backlog().items():
            found[f"ai_workers_{modality.value}"] = sum(modality in m.reads for m in alive)
            found[f"ai_queue_{modality.value}_waiting"] = owed.waiting
            found[f"ai_queue_{modality.value}_oldest_seconds"] = owed.oldest_seconds
            found[f"ai_queue_{modality.value}_ready"] = self._ready.get(QUEUES[modality], 0)
        return found | {"ai_queue_dead": self._ready.get(DEAD_QUEUE, 0)}

    def _alive(self) -> list[Member]:
        return [member for member in self._members if member.silent < self._settings.lease_seconds]

    def use(self, lineup: Lineup) -> None:
        """Nothing: workers read with the models of their own folders."""

    def _work(self) -> None:
        super()._work()
        self._disconnect()
        with contextlib.suppress(SQLAlchemyError):  # another Orthanc over the same ledger takes over at once
            self._ledger.leave_role(KEEPER)

    def _step(self) -> float:
        try:
            self._keep()
            self._ledger_trouble = None
        except Unavailable as error:
            self._ledger_trouble = reason(error)
        except Exception as error:  # the publisher must outlive anything
            log.exception("nothing can be published; trying again")
            self._ledger_trouble = str(error)
        return min(2.0, self._settings.poll_seconds)

    def _keep(self) -> None:
        self._members = self._ledger.workers()
        self._keeps = self._ledger.take_role(KEEPER, self._settings.lease_seconds)
        if not self._keeps:
            return
        for series in self._ledger.expire():
            log.warning("series %s: its worker is silent: it will be read again", series)
        if any(member.silent > _SILENT_SECONDS for member in self._members):
            self._ledger.dismiss(_SILENT_SECONDS)
        try:
            self._publish()
        except BROKER_ERRORS as error:
            trouble = broker_trouble(error)
            if self._broker_trouble != trouble:
                log.error("%s; trying again until it can be used", trouble)
            self._broker_trouble = trouble
            self._disconnect()
        else:
            if self._broker_trouble is not None:
                log.warning("the broker can be used again")
            self._broker_trouble = None

    def _publish(self) -> None:
        connection = self._connected()
        self._ready = count_ready(connection)
        empty = [modality for modality, name in QUEUES.items() if self._ready[name] == 0]
        while not self._stop.is_set():
            due = self._ledger.unpublished(lost=empty, older=_LOST_SECONDS, limit=_AT_ONCE)
            if not due:
                return
            with self._app.amqp.Producer(connection) as producer:
                for entry in due:
                    self._send(producer, entry)
            self._ledger.published([entry.series for entry in due])

    def _send(self, producer: Any, entry: Entry) -> None:
        """Hand a series over; returns when the broker has confirmed that it keeps the message."""
        self._app.send_task(
            TASK,
            args=(entry.series, entry.attempts + 1),
            queue=QUEUES[entry.modality],
            producer=producer,
            priority=_URGENT if entry.first else 0,
            retry=False,
        )

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._app.connection_for_write()
            # A broker that stands still is taken for one that is gone, else nobody would ever publish again.
            patience = {"read_timeout": _ANSWER_SECONDS, "write_timeout": _ANSWER_SECONDS}
            self._connection.transport_options = {**self._connection.transport_options, **patience}
            self._connection.ensure_connection(max_retries=1, timeout=5)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(*BROKER_ERRORS):
                self._connection.release()
            self._connection = None


def _shown(member: Member, lease_seconds: float) -> dict[str, Any]:
    """A worker as ``GET /ai/status`` shows it."""
    return {
        "name": member.name,
        "reads": [modality.value for modality in member.reads],
        "state": "alive" if member.silent < lease_seconds else "silent",
        "heartbeat_seconds": round(member.silent, 1),
        "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(member.since)),
        "running": member.running if member.silent < lease_seconds else None,
    }
