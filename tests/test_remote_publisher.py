"""The publisher on a real RabbitMQ: what is due goes out once, and again where it was lost."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.fleet.rabbitmq import RabbitServer
from plugin.domain.kinds import Modality
from plugin.queue.ledger import Ledger, State
from plugin.settings import Settings, read_settings

broker = pytest.importorskip(
    "plugin.remote.broker", reason="the engine celery is not installed", exc_type=ImportError
)
publisher = pytest.importorskip("plugin.remote.publisher", exc_type=ImportError)

SERIES = "11111111-22222222-33333333-44444444-55555555"
OTHER = "99999999-22222222-33333333-44444444-55555555"


@pytest.fixture
def settings(rabbit: RabbitServer) -> Settings:
    section = {"Engine": "celery", "Ledger": "postgresql://elsewhere/", "PollSeconds": 0.2, "LeaseSeconds": 2}
    return read_settings({"ChestAI": {**section, "Celery": {"BrokerUrl": rabbit.url}}})


@pytest.fixture
def open_ledger(tmp_path: Path) -> Iterator[Callable[[str], Ledger]]:
    opened: list[Ledger] = []

    def open_it(holder: str) -> Ledger:
        opened.append(Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", holder=holder, lease_seconds=2))
        return opened[-1]

    yield open_it
    for ledger in opened:
        ledger.close()


@pytest.fixture
def publish(settings: Settings, open_ledger: Callable[[str], Ledger]) -> Iterator[Callable[..., Any]]:
    """Starts publishers, each an Orthanc's; they are stopped at the end."""
    started: list[Any] = []

    def start(name: str = "orthanc") -> Any:
        started.append(publisher.Publisher(open_ledger(name), settings))
        started[-1].start()
        return started[-1]

    yield start
    for one in started:
        assert one.stop(10)


def _until(condition: Callable[[], object], what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def _messages(settings: Settings, queue: str) -> list[Any]:
    """Every message of a queue, taken out of it."""
    found = []
    with broker.make_app(settings.celery).connection_for_read() as connection:
        broker.count_ready(connection)
        with connection.channel() as channel:
            while (message := channel.basic_get(queue, no_ack=True)) is not None:
                found.append(message)
    return found


def test_a_message_says_which_series_and_which_attempt_and_no_more(
    settings: Settings, open_ledger: Callable[[str], Ledger], publish: Callable[..., Any]
) -> None:
    ledger = open_ledger("somebody")
    ledger.advance(1, {SERIES: "ct"}, {SERIES: time.time()})
    ledger.request(OTHER, "xray")
    one = publish()
    _until(lambda: not ledger.unpublished(lost=(), older=60, limit=1), "it is not published")
    _until(lambda: one.status()["queues"]["ct-jobs"]["ready"] == 1, "the queue's length is not seen")
    assert one.status()["queues"]["ct-jobs"]["waiting"] == 1
    assert one.metrics()["ai_queue_ct_ready"] == 1
    (message,) = _messages(settings, "ct-jobs")
    assert json.loads(message.body)[:2] == [[SERIES, 1], {}]
    told = json.dumps(message.headers) + str(message.properties)
    for word in ("Patient", "^", "1.2."):
        assert word not in told
    assert message.properties["delivery_mode"] == 2, "it is not kept on the disk"
    (film,) = _messages(settings, "rx-jobs")
    assert json.loads(film.body)[0] == [OTHER, 1]
    assert film.properties["priority"] > message.properties["priority"], "somebody asked for it"


def test_what_the_site_calls_urgent_is_handed_over_ahead_of_the_others(
    settings: Settings, open_ledger: Callable[[str], Ledger], publish: Callable[..., Any]
) -> None:
    ledger = open_ledger("somebody")
    ledger.advance(1, {SERIES: "ct", OTHER: "ct"}, {SERIES: 1.0, OTHER: 2.0}, {OTHER})
    one = publish()
    _until(lambda: one.status()["queues"]["ct-jobs"]["ready"] == 2, "they are not published")
    first, second = _messages(settings, "ct-jobs")
    priority = {json.loads(sent.body)[0][0]: sent.properties["priority"] for sent in (first, second)}
    assert priority[OTHER] > 4 >= priority[SERIES], "a quorum queue tells priorities above 4 from the others"
    assert json.loads(first.body)[0][0] == OTHER


def test_a_wiped_broker_is_filled_again_from_the_ledger(
    rabbit: RabbitServer,
    settings: Settings,
    open_ledger: Callable[[str], Ledger],
    publish: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publisher, "_LOST_SECONDS", 1.0)
    ledger = open_ledger("somebody")
    ledger.advance(1, {SERIES: "ct"}, {SERIES: time.time()})
    one = publish()
    _until(lambda: one.status()["queues"]["ct-jobs"]["ready"] == 1, "it is not published")
    rabbit.wipe()
    _until(lambda: one.trouble is not None, "the broker's end is not noticed")
    assert "broker" in one.trouble
    rabbit.start()
    _until(lambda: one.trouble is None, "the broker's return is not noticed")
    _until(lambda: one.status()["queues"]["ct-jobs"]["ready"] == 1, "it is not published again")
    assert len(_messages(settings, "ct-jobs")) == 1


def test_a_broker_that_stands_still_is_not_waited_for_for_ever(
    rabbit: RabbitServer,
    settings: Settings,
    open_ledger: Callable[[str], Ledger],
    publish: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publisher, "_ANSWER_SECONDS", 1)
    ledger = open_ledger("somebody")
    one = publish()
    _until(lambda: one.keeps and one.status()["queues"]["ct-jobs"]["ready"] == 0, "it does not begin")
    rabbit.freeze()
    try:
        ledger.advance(1, {SERIES: "ct"}, {SERIES: time.time()})
        _until(lambda: one.trouble is not None, "that the broker stands still is not noticed")
    finally:
        rabbit.wake()
    _until(lambda: one.status()["queues"]["ct-jobs"]["ready"] == 1, "it is not published")
    assert len(_messages(settings, "ct-jobs")) == 1


def test_one_orthanc_of_several_keeps_the_ledger(
    open_ledger: Callable[[str], Ledger], publish: Callable[..., Any]
) -> None:
    first = publish("pacs1")
    _until(lambda: first.keeps, "nobody keeps the ledger")
    second = publish("pacs2")
    time.sleep(1)
    assert not second.keeps
    assert first.stop(10)
    _until(lambda: second.keeps, "nobody takes over", seconds=1.5)  # before a lease would have expired


def test_a_silent_worker_s_series_goes_out_again(
    settings: Settings, open_ledger: Callable[[str], Ledger], publish: Callable[..., Any]
) -> None:
    ledger, worker = open_ledger("somebody"), open_ledger("worker-1")
    ledger.advance(1, {SERIES: "ct"}, {SERIES: time.time()})
    worker.report([Modality.CT], time.time(), {"series": SERIES, "stage": "decode", "progress": 0.0})
    assert worker.claim_one(SERIES) is not None
    one = publish()
    _until(lambda: one.running, "nobody knows who reads")
    assert one.running[0]["worker"] == "worker-1"
    assert [shown["state"] for shown in one.status()["workers"]] == ["alive"]
    _until(lambda: one.status()["queues"]["ct-jobs"]["ready"] == 1, "it is not published")
    entry = ledger.get(SERIES)
    assert entry is not None
    assert entry.state is State.WAITING
    _until(lambda: not one.running, "a silent worker is said to read")
    assert [shown["state"] for shown in one.status()["workers"]] == ["silent"]
    assert one.metrics()["ai_workers_ct"] == 0
    assert len(_messages(settings, "ct-jobs")) == 1


def test_a_worker_that_orthanc_has_no_room_for_is_told_on_the_status(
    open_ledger: Callable[[str], Ledger], publish: Callable[..., Any]
) -> None:
    keeper, worker = publish(), open_ledger("worker")
    running = {"series": SERIES, "stage": "store", "progress": 0.0}
    worker.report([Modality.CT], time.time(), running | {"trouble": "Orthanc has no room for results"})
    _until(lambda: keeper.trouble == "Orthanc has no room for results", "the trouble is not told", 10)
    worker.report([Modality.CT], time.time(), running)
    _until(lambda: keeper.trouble is None, "the trouble goes on", 10)
