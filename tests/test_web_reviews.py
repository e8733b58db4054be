"""A physician's word over HTTP: who may, what is taken, what it leaves behind, what is refused."""

from __future__ import annotations

import io
import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from test_results_validators import CASES

from plugin.models.lineup import load_lineup
from plugin.queue.assessing import Assessing
from plugin.queue.ledger import Ledger
from plugin.service import Service
from plugin.settings import read_settings
from plugin.web.access import Guard
from plugin.web.routes import HttpRequest, respond
from plugin.web.users import Users
from tests.fake_pacs import FULL_STORAGE, FakeOrthanc
from tests.test_web_routes import NOTHING, ONLY_XRAY
from tests.test_web_worklist import OUTCOME, entered

GUARD = Guard(any_host=True)
JSON = {"content-type": "application/json", "host": "pacs"}
KNOWN = {"mary": {"Name": "Silva^Mary", "Organization": "Hospital São José"}}


class Room:
    """A service over an Orthanc that holds one series with the report of its reading."""

    def __init__(self, fake: FakeOrthanc, folder: Path, **section: Any) -> None:
        settings = read_settings({"ChestAI": {"Models": ONLY_XRAY} | section})
        url = f"sqlite:///{folder / 'ledger.sqlite'}"
        self.fake = fake
        self.service = Service(fake.pacs, settings, ledger_url=url, stable_age=1)
        self.ledger = self.service.ledger = Ledger(url)
        self.service.lineup = load_lineup(settings)
        self.service.assessing = Assessing(fake.pacs, self.ledger, lambda: self.service.lineup, settings)
        report = CASES["x-ray"]()["sr"]
        assert report is not None
        source = pydicom.Dataset()
        source.update(report)
        source.SeriesInstanceUID, source.SOPInstanceUID = "1.2.3", "1.2.3.4"
        source.Modality = "DX"
        self.series = fake.add(self._file(source))
        self.report = fake.pacs.store(self._file(report))
        self.read(self.report)

    @staticmethod
    def _file(dataset: pydicom.Dataset) -> bytes:
        buffer = io.BytesIO()
        dataset.save_as(buffer, implicit_vr=False, little_endian=True, enforce_file_format=False)
        whole = io.BytesIO()
        again = pydicom.dcmread(io.BytesIO(buffer.getvalue()), force=True)
        again.file_meta = pydicom.dataset.FileMetaDataset()
        again.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        again.save_as(whole, enforce_file_format=True)
        return whole.getvalue()

    def read(self, report: str | None) -> None:
        """Let the ledger say that the series was read with that report."""
        self.ledger.forget(self.series)
        outcome = OUTCOME | {"outputs": {"sr": report}}
        row = {"series": self.series, "modality": "xray", "state": "done", "updated_at": 1.0}
        entered(self.ledger, [row | {"outcome": outcome}])

    def post(
        self, said: Any = None, *, user: str | None = "mary", series: str = "", **headers: str
    ) -> tuple[int, Any]:
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        path = f"series/{series or self.series}/review"
        request = HttpRequest(method="POST", path=path, headers=JSON | headers, body=body, user=user)
        return respond(self.service, GUARD, request)

    def word(self, decision: str = "accept", **said: Any) -> dict[str, Any]:
        return {"decision": decision, "assessed": self.report} | said

    def get(self, path: str = "", user: str | None = None) -> Any:
        request = HttpRequest(method="GET", path=path or f"series/{self.series}", user=user, headers=JSON)
        return respond(self.service, GUARD, request)[1]

    def document(self) -> pydicom.Dataset:
        """The latest word as it is stored."""
        return self.fake.file(self.get()["reviews"][0]["report"])


@pytest.fixture
def room(fake: FakeOrthanc, tmp_path: Path) -> Iterator[Room]:
    room = Room(fake, tmp_path)
    yield room
    room.ledger.close()


def test_a_word_is_stored_in_the_study_and_told(room: Room) -> None:
    room.fake.has_labels = True
    before = room.fake.file(room.report)
    status, answer = room.post(room.word("modify", corrected="NON-COVID", text="Atelectasis.\nNo pneumonia."))
    assert status == 200, answer
    (said,) = answer["reviews"]
    assert (said["decision"], said["by"], said["corrected"], said["current"]) == (
        "modify",
        "mary",
        "NON-COVID",
        True,
    )
    assert said["text"] == "Atelectasis.\nNo pneumonia."
    assert said["made_by"].startswith("orthanc-chest-ai 0.1.0 (m 1.0.0")
    document = room.document()
    assert document.StudyInstanceUID == before.StudyInstanceUID
    assert document.VerificationFlag == "VERIFIED"
    assert room.fake.file(room.report) == before
    assert room.get("worklist")["series"][0]["review"] == "modify"
    assert "ai-reviewed" in room.fake.pacs.labels("series", room.series)


def test_a_second_word_replaces_the_first_and_both_are_kept(room: Room) -> None:
    assert room.post(room.word())[0] == 200
    first = room.document()
    assert room.post(room.word("reject"), user="john")[0] == 200
    assert [said["decision"] for said in room.get()["reviews"]] == ["reject", "accept"]
    replaced = room.document().PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    assert replaced.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID


def test_a_later_reading_keeps_the_word_and_says_of_which_version_it_was(room: Room) -> None:
    assert room.post(room.word())[0] == 200
    later = room.fake.file(room.report)
    later.SOPInstanceUID = later.file_meta.MediaStorageSOPInstanceUID = "1.2.3.99"
    report = room.fake.pacs.store(room._file(later))
    room.read(report)
    (said,) = room.get()["reviews"]
    assert not said["current"]
    assert "0.1.0" in said["made_by"]
    status, answer = room.post(room.word())
    assert (status, "read again meanwhile" in answer["error"]) == (409, True)
    assert room.post(room.word() | {"assessed": report})[0] == 200
    assert [said["current"] for said in room.get()["reviews"]] == [True, False]


@pytest.mark.parametrize(
    ("said", "status", "words"),
    [
        (b"", 400, "no JSON"),
        (b"\xff\xfe", 400, "no JSON"),
        ([], 400, "body"),
        ({"decision": "perhaps"}, 400, "decision"),
        ({"assessed": "../../etc"}, 400, "assessed"),
        ({"text": "x" * 2001}, 400, "text"),
        ({"name": "x" * 65}, 400, "name"),
        ({"text": 7}, 400, "text"),
        ({"more": 1}, 400, "more"),
        ({"decision": "modify"}, 400, "takes a corrected class or a text"),
        ({"decision": "accept", "corrected": "COVID"}, 400, "has no corrected class"),
        ({"decision": "modify", "corrected": "<b>"}, 409, "class must be one of COVID, NON-COVID, REJECTION"),
        ({"assessed": NOTHING}, 409, "read again meanwhile"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_stored(room: Room, said: Any, status: int, words: str) -> None:
    held = room.fake.instances(Modality="SR")
    answer = room.post(said if isinstance(said, bytes | list) else room.word() | said)
    assert answer[0] == status, answer
    assert words in answer[1]["error"]
    assert room.fake.instances(Modality="SR") == held
    assert room.get()["reviews"] == []


def test_forms_foreign_pages_and_large_bodies_are_refused(room: Room) -> None:
    assert room.post(room.word(), **{"content-type": "text/plain"})[0] == 415
    assert room.post(room.word(), **{"content-type": "application/x-www-form-urlencoded"})[0] == 415
    assert room.post(room.word(), origin="https://evil.example.com")[0] == 403
    assert room.post(room.word(), **{"sec-fetch-site": "cross-site"})[0] == 403
    assert room.post(bytes(10 << 20))[0] == 413
    assert room.post(room.word(), series=NOTHING)[0] == 404
    assert room.get()["reviews"] == []


def test_a_series_without_a_report_takes_no_word(room: Room) -> None:
    room.read(None)
    status, answer = room.post(room.word())
    assert (status, "no Structured Report" in answer["error"]) == (409, True)
    room.read(room.report)
    room.fake.delete(room.report)
    status, answer = room.post(room.word())
    assert (status, "deleted from Orthanc" in answer["error"]) == (409, True)


def test_where_orthanc_refuses_nothing_is_kept(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    room.fake.before("POST", "/instances", room.fake.refuse)
    assert room.post(room.word())[0] == 500
    room.fake.before("POST", "/instances", lambda: room.fake.refuse(FULL_STORAGE, "The file storage is full"))
    status, answer = room.post(room.word())
    assert (status, "no room" in answer["error"]) == (507, True)
    assert room.get()["reviews"] == []


def test_only_the_reviewers_of_the_settings_may(fake: FakeOrthanc, tmp_path: Path) -> None:
    room = Room(fake, tmp_path, Reviews={"Reviewers": KNOWN})
    for user in ("john", None):
        status, answer = room.post(room.word(name="Silva^Mary"), user=user)
        assert (status, "not among the reviewers" in answer["error"]) == (403, True)
        assert not room.get("session", user=user)["may_review"]
    assert room.post(room.word(name="Somebody^Else"))[0] == 200
    (verifier,) = room.document().VerifyingObserverSequence
    assert verifier.VerifyingObserverName == "Silva^Mary"
    assert verifier.VerifyingOrganization == "Hospital São José"
    assert room.get("session", user="mary")["named"] == "Silva^Mary"
    room.ledger.close()


def test_what_was_asked_and_what_was_refused_is_written_down(fake: FakeOrthanc, tmp_path: Path) -> None:
    room = Room(fake, tmp_path, Reviews={"Reviewers": KNOWN}, Administrators=["root"])
    told: list[tuple[Any, ...]] = []
    fake.ResourceType = types.SimpleNamespace(NONE=4)  # type: ignore[attr-defined]
    fake.EmitAuditLog = lambda *said: told.append(said)  # type: ignore[attr-defined]
    room.post(room.word())
    room.post(room.word(), user="john")
    room.post({"decision": "perhaps"})
    assert "may read this" in room.get("audit", user="mary")["error"]
    refused, second, first = room.get("audit", user="root")
    path = f"POST series/{room.series}/review"
    assert (first["user"], first["action"], first["status"]) == ("mary", path, 200)
    assert (second["user"], second["action"], second["status"]) == ("john", path, 403)
    assert (refused["user"], refused["action"]) == ("mary", "GET audit")
    assert [said[1] for said in told] == ["mary", "john", "mary"]
    request = HttpRequest(
        method="GET", path="audit", user="root", headers=JSON, arguments={"before": str(first["number"])}
    )
    assert respond(room.service, GUARD, request) == (200, [])
    room.ledger.close()


def test_an_audit_log_that_fails_keeps_nothing_from_being_done(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_said: Any) -> None:
        raise RuntimeError("no log")

    room.fake.EmitAuditLog = broken  # type: ignore[attr-defined]
    room.fake.ResourceType = types.SimpleNamespace(NONE=4)  # type: ignore[attr-defined]
    assert room.post(room.word())[0] == 200
    assert "was not written down" in caplog.text


def test_whoever_is_not_known_gives_a_name_and_verifies_nothing(room: Room) -> None:
    session = room.get("session")
    assert (session["may_review"], session["named"]) == (True, None)
    status, answer = room.post(room.word(), user=None)
    assert (status, "who reviews" in answer["error"]) == (400, True)
    assert room.post(room.word(name="Somebody^Else\x00\n"), user=None)[0] == 200
    assert room.get()["reviews"][0]["verified"] is False
    assert room.document().VerificationFlag == "UNVERIFIED"


def test_metadata_that_is_spoiled_is_no_word(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    for spoiled in (b"{", b'[{"decision": "perhaps"}]', b'"text"'):
        room.fake.metadata(room.series)["4208"] = spoiled
        assert room.get()["reviews"] == []


def test_users_are_those_whom_somebody_has_checked() -> None:
    basic = {"authorization": "Basic bWFyeTpzM2NyZXQ=", "x-user": "john"}
    assert Users(passwords=True).of(basic) == "mary"
    assert Users(passwords=False).of(basic) is None
    assert Users(passwords=True, header="x-user").of(basic) == "john"
    assert Users(header="x-user").of({}) is None
    for broken in ("", "Basic", "Basic %%%", "Basic /w==", "Bearer abc", "Basic Og=="):
        assert Users(passwords=True).of({"authorization": broken}) is None
