"""The queues on RabbitMQ, and how Celery uses them. A message says which series, and which attempt: no more.

Quorum queues know no limit on what a whole channel takes, so that Celery (from 5.5 on) limits each consumer:
one message is handed out, and acknowledged when it has been read. Waiting is left to the ledger: Celery's own
way to let a message wait (28 queues of its own on the broker) is switched off.
"""

from __future__ import annotations

import logging
import time

from amqp.exceptions import AMQPError
from celery import Celery
from celery.worker.consumer import Consumer
from celery.worker.state import maybe_shutdown
from kombu import Connection, Exchange, Queue
from kombu.exceptions import KombuError

from plugin.domain.kinds import Modality
from plugin.engine_settings import CelerySettings
from plugin.remote.tls import broker_trouble, tls

log = logging.getLogger(__name__)

QUEUES = {Modality.XRAY: "rx-jobs", Modality.CT: "ct-jobs"}
DEAD_QUEUE = "dead-jobs"
"""Where a message ends that has ended its worker again and again."""

TASK = "chest_ai.read"

BROKER_ERRORS: tuple[type[Exception], ...] = (OSError, AMQPError, KombuError)
"""What is raised where the broker cannot be used."""

_DELIVERIES = 20
"""After so many deliveries the broker itself gives a message up; the ledger does long before."""

_EXCHANGE = Exchange("chest-ai", type="direct", durable=True)

_ANSWER_SECONDS = 10
_HEARTBEAT_SECONDS = 10
_LONGEST_PAUSE = 10
"""Seconds between two tries of a worker to connect."""


class LeanConsumer(Consumer):
    """Celery's consumer without its own way to let messages wait, and without gossip among workers."""

    class Blueprint(Consumer.Blueprint):
        """The steps of a start."""

        default_steps = tuple(
            step
            for step in Consumer.Blueprint.default_steps
            if not step.endswith((":DelayedDelivery", ":Mingle", ":Gossip"))
        )

    def ensure_connected(self, conn: Connection) -> Connection:
        """Connect, however long that takes; why it cannot be done is said in one plain sentence.

        Celery's own would end a worker whose user or virtual host the broker does not know (yet).
        """
        pause = 0
        while True:
            maybe_shutdown()
            try:
                conn.connect()
            except BROKER_ERRORS as error:
                pause = min(_LONGEST_PAUSE, pause + 2)
                log.error("%s; trying again in %d s", broker_trouble(error), pause)
            else:
                self.first_connection_attempt = False
                return conn
            for _ in range(pause):
                maybe_shutdown()
                time.sleep(1)


def queues() -> tuple[Queue, ...]:
    """Every queue, the one of the dead last. As they are declared, so must they be everywhere."""
    quorum = {"x-queue-type": "quorum"}
    limits = {
        "x-delivery-limit": _DELIVERIES,
        "x-dead-letter-exchange": _EXCHANGE.name,
        "x-dead-letter-routing-key": DEAD_QUEUE,
    }
    work = [
        Queue(name, _EXCHANGE, routing_key=name, queue_arguments=quorum | limits) for name in QUEUES.values()
    ]
    return (*work, Queue(DEAD_QUEUE, _EXCHANGE, routing_key=DEAD_QUEUE, queue_arguments=quorum))


def count_ready(connection: Connection) -> dict[str, int]:
    """How many messages wait in each queue. A queue that a broker does not have (any more) is made."""
    found = {}
    with connection.channel() as channel:
        for queue in queues():
            bound = queue(channel)
            bound.declare()
            found[queue.name] = int(bound.queue_declare(passive=True).message_count)
    return found


def make_app(settings: CelerySettings) -> Celery:
    """Celery over these queues. Nothing is connected yet. Raises SettingsError for certificates' files."""
    app = Celery("chest-ai", set_as_current=False)
    app.conf.update(
        broker_url=settings.broker_url,
        broker_use_ssl=tls(settings),
        broker_heartbeat=_HEARTBEAT_SECONDS,
        broker_connection_timeout=_ANSWER_SECONDS,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={"confirm_publish": True},
        task_queues=queues(),
        task_create_missing_queues=False,
        task_default_queue=QUEUES[Modality.CT],
        task_default_exchange=_EXCHANGE.name,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        task_soft_time_limit=settings.time_limit_seconds,
        task_time_limit=settings.time_limit_seconds + 60,
        worker_consumer=f"{__name__}:{LeanConsumer.__name__}",
        worker_concurrency=1,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_proc_alive_timeout=120,  # it loads the models first
    )
    return app
