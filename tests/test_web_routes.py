"""The routes: which status, which words, and what is let in."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plugin.service import Service
from plugin.settings import read_settings
from plugin.web.access import Guard
from plugin.web.routes import HttpRequest, respond
from plugin.web.server import rest_callback
from tests.dicom_factory import as_file, xray_dataset
from tests.fake_pacs import FakeOrthanc

GUARD = Guard(any_host=False)
NOTHING = "00000000-00000000-00000000-00000000-00000000"
ONLY_XRAY = {"CtReject": "", "CtAxial": [], "CtSagittal": [], "CtSegmentation": ""}


def _service(fake: FakeOrthanc, folder: Path) -> Service:
    settings = read_settings({"ChestAI": {"Models": ONLY_XRAY, "PollSeconds": 300}})
    return Service(fake.pacs, settings, ledger_url=f"sqlite:///{folder / 'ledger.sqlite'}", stable_age=1)


@pytest.fixture
def starting(fake: FakeOrthanc, tmp_path: Path) -> Service:
    """A service that has not begun."""
    return _service(fake, tmp_path)


@pytest.fixture
def running(fake: FakeOrthanc, tmp_path: Path) -> Iterator[Service]:
    """A service that reads."""
    service = _service(fake, tmp_path)
    service.start()
    deadline = time.monotonic() + 60
    while service.status()["state"] != "ready":
        assert time.monotonic() < deadline, service.status()
        time.sleep(0.05)
    yield service
    service.stop()


def _ask(service: Service, method: str, path: str, **request: Any) -> tuple[int, Any]:
    return respond(service, GUARD, HttpRequest(method=method, path=path, **request))


def _hip() -> bytes:
    """A film that the header rules reject at once."""
    return as_file(xray_dataset(np.zeros((512, 512), np.uint16), BodyPartExamined="HIP"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"limit": "nan"}, "limit must be a number"),
        ({"limit": "inf"}, "limit must be a number"),
        ({"limit": "1e999"}, "limit must be a number"),
        ({"limit": "many"}, "limit must be a number"),
        ({"limit": "0"}, "between 1 and 1000"),
        ({"limit": "1001"}, "between 1 and 1000"),
        ({"since": "nan"}, "since must be a number"),
        ({"since": "-inf"}, "since must be a number"),
        ({"state": "asleep"}, "state must be one of waiting"),
    ],
)
def test_wrong_arguments_are_named(running: Service, arguments: dict[str, str], words: str) -> None:
    status, answer = _ask(running, "GET", "series", arguments=arguments)
    assert status == 400
    assert words in answer["error"]


def test_a_series_is_listed_and_read_again(running: Service, fake: FakeOrthanc) -> None:
    series = fake.add(_hip())
    status, answer = _ask(running, "GET", f"series/{series}")
    assert (status, "POST …/run reads it" in answer["error"]) == (404, True)
    status, answer = _ask(running, "POST", f"series/{series}/run")
    assert (status, answer["series"]) == (200, series)
    deadline = time.monotonic() + 60
    while (entry := _ask(running, "GET", f"series/{series}")[1])["state"] != "rejected":
        assert time.monotonic() < deadline, entry
        time.sleep(0.05)
    assert "body_part" in [reason["code"] for reason in entry["verdict"]["reasons"]]
    assert [e["series"] for e in _ask(running, "GET", "series", arguments={"state": "rejected"})[1]] == [
        series
    ]
    assert _ask(running, "GET", "series", arguments={"state": "done"})[1] == []


def test_the_route_names_the_instance_that_cannot_be_read(
    running: Service, fake: FakeOrthanc, caplog: pytest.LogCaptureFixture
) -> None:
    series = fake.add(as_file(xray_dataset(np.zeros((600, 600), np.uint16)))[:-1000])
    (instance,) = fake.pacs.series(series).instances
    assert _ask(running, "POST", f"series/{series}/run")[0] == 200
    deadline = time.monotonic() + 60
    while (entry := _ask(running, "GET", f"series/{series}")[1])["state"] != "failed":
        assert time.monotonic() < deadline, entry
        time.sleep(0.05)
    assert f"(instance {instance})" in entry["error"]
    assert f"(instance {instance})" in caplog.text


def test_what_is_not_there_or_not_read_says_so(running: Service, fake: FakeOrthanc) -> None:
    ultrasound = fake.add(as_file(xray_dataset(np.zeros((8, 8), np.uint16), Modality="US")))
    for method, path, wanted, words in (
        ("GET", "nothing", 404, "no route /ai/nothing"),
        ("GET", f"series/{NOTHING}", 404, "does not hold this series"),
        ("POST", f"series/{NOTHING}/run", 404, "does not hold this series"),
        ("GET", f"series/{ultrasound}", 404, "modality US is not read"),
        ("POST", f"series/{ultrasound}/run", 409, "modality US is not read"),
    ):
        status, answer = _ask(running, method, path)
        assert status == wanted, (path, answer)
        assert words in answer["error"]
    assert _ask(running, "POST", "status") == (405, "GET")
    assert _ask(running, "GET", f"series/{NOTHING}/run") == (405, "POST")


def test_a_study_is_told_and_read_again_with_all_its_series(running: Service, fake: FakeOrthanc) -> None:
    hip = fake.add(_hip())
    study = fake.pacs.series(hip).study
    ultrasound = fake.add(
        as_file(
            xray_dataset(
                np.zeros((8, 8), np.uint16),
                Modality="US",
                StudyInstanceUID=str(fake.file(fake.pacs.series(hip).instances[0]).StudyInstanceUID),
                SeriesInstanceUID="1.2.3",
                SOPInstanceUID="1.2.3.4",
            )
        )
    )
    assert _ask(running, "GET", f"studies/{NOTHING}")[0] == 404
    assert _ask(running, "POST", f"studies/{NOTHING}/run")[0] == 404
    status, answer = _ask(running, "POST", f"studies/{study}/run")
    assert (status, [one["series"] for one in answer["series"]]) == (200, [hip])
    assert answer["others"][0]["series"] == ultrasound
    assert "modality US is not read" in answer["others"][0]["reason"]
    deadline = time.monotonic() + 60
    while (answer := _ask(running, "GET", f"studies/{study}")[1])["series"][0]["state"] != "rejected":
        assert time.monotonic() < deadline, answer
        time.sleep(0.05)
    assert answer["results"] == []
    assert [one["series"] for one in answer["others"]] == [ultrasound]
    fake.delete(hip)
    status, answer = _ask(running, "POST", f"studies/{study}/run")
    assert (status, "no series" in answer["error"]) == (409, True)


def test_before_it_reads_nothing_is_promised(starting: Service, fake: FakeOrthanc) -> None:
    series = fake.add(_hip())
    assert _ask(starting, "GET", "series") == (200, [])
    assert _ask(starting, "GET", "models") == (200, [])
    for method, path, wanted in (("POST", f"series/{series}/run", 503), ("GET", f"series/{series}", 404)):
        status, answer = _ask(starting, method, path)
        assert status == wanted
        assert "being loaded" in answer["error"]


def test_a_broken_answer_is_an_error_without_its_insides(
    running: Service, fake: FakeOrthanc, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise ValueError("/secret/path")

    monkeypatch.setattr(running, "status", broken)
    status, answer = _ask(running, "GET", "status")
    assert status == 500
    assert "secret" not in answer["error"]
    assert "/secret/path" in caplog.text


def test_another_sites_page_has_nothing_read_again(running: Service, fake: FakeOrthanc) -> None:
    series = fake.add(_hip())
    asked = {"host": "127.0.0.1:8042", "origin": "https://evil.example.com"}
    status, answer = _ask(running, "POST", f"series/{series}/run", headers=asked)
    assert status == 403
    assert "evil.example.com" in answer["error"]
    assert running.ledger is not None
    assert running.ledger.get(series) is None
    assert _ask(running, "GET", "status", headers={"host": "evil.example.com"})[0] == 403


def test_a_body_that_no_route_takes_is_refused(running: Service, fake: FakeOrthanc) -> None:
    series = fake.add(_hip())
    assert _ask(running, "POST", f"series/{series}/run", body=bytes(64 * 1024 + 1))[0] == 413
    assert running.ledger is not None
    assert running.ledger.get(series) is None
    assert _ask(running, "POST", f"series/{series}/run", body=bytes(64 * 1024))[0] == 200


class Output:
    """Orthanc's output of one request."""

    def __init__(self) -> None:
        self.status, self.body, self.headers = 0, b"", {}  # type: tuple[int, bytes, dict[str, str]]

    def AnswerBuffer(self, body: bytes, mime: str) -> None:  # noqa: N802 - Orthanc's name
        self.status, self.body = 200, body
        self.headers["Content-Type"] = mime

    def SetHttpHeader(self, name: str, value: str) -> None:  # noqa: N802
        self.headers[name] = value

    def SendHttpStatus(self, status: int, body: bytes) -> None:  # noqa: N802
        self.status, self.body = status, body

    def SendMethodNotAllowed(self, allowed: str) -> None:  # noqa: N802
        self.status, self.headers = 405, {"Allow": allowed}


def test_orthancs_requests_reach_the_routes_whole(starting: Service) -> None:
    callback = rest_callback(starting, GUARD)

    def ask(uri: str, **request: Any) -> Output:
        output = Output()
        callback(output, uri, groups=(), **request)
        return output

    local = {"Host": "localhost"}
    assert ask("/ai/status", method="GET", headers=local, get={}).status == 200
    limited = ask("/ai/series", method="GET", headers=local, get={"limit": "0"})
    assert (limited.status, limited.headers["Content-Type"]) == (400, "application/json")
    assert "limit" in json.loads(limited.body)["error"]
    escaped = {"state": "%64one", "series": f"{NOTHING}%2C{NOTHING}"}  # as Orthanc 1.10 hands it over
    assert ask("/ai/worklist", method="GET", headers=local, get=escaped).status == 200
    listed = ask("/ai/worklist", method="GET", headers=local, get={})
    tagged = local | {"If-None-Match": listed.headers["ETag"]}
    assert ask("/ai/worklist", method="GET", headers=tagged, get={}).status == 304
    assert ask("/ai/worklist", method="GET", headers={"Host": "evil.example"}, get={}).status == 403
    run = f"/ai/series/{NOTHING}/run"
    assert ask(run, method="POST", headers=local | {"Origin": "http://a.org"}, body=b"").status == 403
    assert ask(run, method="POST", headers=local, body=bytes(1 << 20)).status == 413
    assert ask("/ai/status", method="POST", headers=local, body=b"").headers == {"Allow": "GET"}
