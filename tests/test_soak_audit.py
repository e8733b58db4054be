"""The audit finds each kind of damage, made by hand in a real Orthanc, and nothing where there is none."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import generate_uid

from demo.client import wait_until_loaded
from demo.rest import Orthanc
from demo.server import ORTHANC
from demo.soak import ledger_file
from demo.soak.__main__ import main
from demo.soak.audit import Sent, Site, audit
from demo.soak.chapter import wait_until_at_rest
from demo.soak.problems import Kind, Problem
from demo.soak.series import Factory, Series
from tests.conftest import Pacs
from tests.pacs_client import settled


@dataclass(frozen=True, kw_only=True)
class Read:
    """A server that has read one X-ray and rejected another, and looks at nothing unasked."""

    pacs: Pacs
    film: Series
    done: str
    rejected: str

    def entry(self, series: str) -> dict[str, Any]:
        """What the plugin says of a series."""
        return dict(self.pacs.get(f"/ai/series/{series}"))

    def result(self, kind: str) -> pydicom.Dataset:
        """The file of a result of the series that was read."""
        instance = self.entry(self.done)["outputs"][kind]
        return pydicom.dcmread(io.BytesIO(self.pacs.read(f"/instances/{instance}/file")))

    def keep(self, dataset: pydicom.Dataset) -> str:
        """Store an instance; its Orthanc id."""
        buffer = io.BytesIO()
        dataset.save_as(buffer, enforce_file_format=True)
        return str(self.pacs.post("/instances", buffer.getvalue())["ID"])

    @contextmanager
    def holding(self, dataset: pydicom.Dataset) -> Iterator[str]:
        """Hold an instance for a while; its Orthanc id."""
        instance = self.keep(dataset)
        try:
            yield instance
        finally:
            self.pacs.delete(f"/instances/{instance}")

    def found(self, **options: Any) -> list[Problem]:
        """What the audit finds, as soon as the plugin rests: after a deletion it looks into the changes."""
        ledger = self.pacs.data / "db" / "chest-ai.sqlite"
        for _ in range(20):
            problems = audit(self.pacs, ledger=ledger, **options)
            if not {Kind.OPEN, Kind.LEDGER} & {problem.kind for problem in problems}:
                break
            time.sleep(0.5)
        return problems


@pytest.fixture(scope="module")
def read(synthetic: dict[str, list[Path]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Read]:
    """Once both are read, Orthanc calls nothing stable and the plugin polls rarely: it mends no damage."""
    if not Path(ORTHANC).exists():
        pytest.skip("Orthanc is not installed")
    folder = tmp_path_factory.mktemp("audit")
    factory = Factory(xray=synthetic["xray"][0], ct=synthetic["ct"], folder=folder / "sent", seed=1)
    made = [factory.make(0, "xray"), factory.make(1, "xray of a hip")]
    pacs = Pacs(folder / "pacs", stable_age=1, chest_ai={"PollSeconds": 1})
    pacs.start()
    try:
        pacs.upload([one.files[0] for one in made])
        by_state = {entry["state"]: series for series, entry in settled(pacs, 2).items()}
        pacs.stop()
        configuration = json.loads((pacs.data / "orthanc.json").read_text())
        configuration |= {"StableAge": 3600, "ChestAI": {"PollSeconds": 300}}
        (pacs.data / "orthanc.json").write_text(json.dumps(configuration))
        pacs.start()
        wait_until_loaded(pacs)
        yield Read(pacs=pacs, film=made[0], done=by_state["done"], rejected=by_state["rejected"])
    finally:
        pacs.kill()


def anew(dataset: pydicom.Dataset) -> pydicom.Dataset:
    """The instance as another one of another series of the same study."""
    dataset.SeriesInstanceUID = generate_uid()
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    return dataset


def speak_of(dataset: pydicom.Dataset, series: str, instance: str) -> None:
    """Let every reference in a result name this series and this instance."""
    for element in dataset.iterall():
        if element.keyword == "ReferencedSOPInstanceUID":
            element.value = instance
    for evidence in dataset.get("CurrentRequestedProcedureEvidenceSequence", ()):
        for referenced in evidence.ReferencedSeriesSequence:
            referenced.SeriesInstanceUID = series


def test_nothing_is_found_where_nothing_is_wrong(read: Read) -> None:
    assert (read.entry(read.done)["state"], read.entry(read.rejected)["state"]) == ("done", "rejected")
    assert read.found(sent=[read.film.sent(read.film.files)]) == []


@pytest.mark.parametrize("kind", ["sr", "pdf", "attention"])
def test_a_result_of_no_series_is_an_orphan(read: Read, kind: str) -> None:
    nobodys = anew(read.result(kind))
    speak_of(nobodys, generate_uid(), generate_uid())
    with read.holding(nobodys) as instance:
        (problem,) = read.found()
    assert problem.kind == Kind.ORPHAN
    assert f"the {kind} {instance}" in problem.text


@pytest.mark.parametrize("kind", ["sr", "pdf", "attention"])
def test_a_second_result_is_told_beside_the_first(read: Read, kind: str) -> None:
    with read.holding(anew(read.result(kind))) as instance:
        (problem,) = read.found()
    assert (problem.kind, problem.series) == (Kind.DOUBLED, read.done)
    assert instance in problem.text
    assert read.entry(read.done)["outputs"][kind] in problem.text


def test_what_an_earlier_reading_left_is_a_ghost(read: Read) -> None:
    film = read.pacs.get(f"/series/{read.rejected}")
    source = pydicom.dcmread(io.BytesIO(read.pacs.read(f"/instances/{film['Instances'][0]}/file")))
    left = anew(read.result("sr"))
    speak_of(left, source.SeriesInstanceUID, source.SOPInstanceUID)
    left.StudyInstanceUID, left.PatientID = source.StudyInstanceUID, source.PatientID
    with read.holding(left) as instance:
        (problem,) = read.found()
    assert (problem.kind, problem.series) == (Kind.GHOST, read.rejected)
    assert instance in problem.text


def test_a_result_that_was_deleted_is_missing(read: Read) -> None:
    report = read.result("pdf")
    instance = read.entry(read.done)["outputs"]["pdf"]
    read.pacs.delete(f"/instances/{instance}")
    try:
        (problem,) = read.found()
    finally:
        assert read.keep(report) == instance
    assert (problem.kind, problem.series) == (Kind.MISSING, read.done)
    assert instance in problem.text
    assert read.found() == []


def test_a_result_in_another_study_is_told(read: Read) -> None:
    elsewhere = anew(read.result("attention"))
    elsewhere.StudyInstanceUID = generate_uid()
    with read.holding(elsewhere) as instance:
        problems = read.found()
    assert {problem.kind for problem in problems} == {Kind.DOUBLED, Kind.ORPHAN}
    assert all(instance in problem.text for problem in problems)


def test_a_series_that_nobody_has_read_is_told(read: Read) -> None:
    film = pydicom.dcmread(read.film.files[0])
    film.StudyInstanceUID = generate_uid()
    with read.holding(anew(film)) as instance:
        series = read.pacs.get(f"/instances/{instance}")["ParentSeries"]
        (problem,) = audit(read.pacs)
    # The plugin knows it as waiting where the last deletion had it look into Orthanc's changes.
    assert problem.kind in (Kind.LOST, Kind.OPEN)
    assert problem.series == series


def test_an_acknowledged_instance_that_is_not_held_is_lost(read: Read) -> None:
    sent = Sent(uid=read.film.uid, name="film", acknowledged=["1.2.3.4"], expected=("done",))
    (problem,) = read.found(sent=[sent])
    assert problem.kind == Kind.LOST
    assert "1.2.3.4" in problem.text


def test_a_series_that_ended_otherwise_is_told(read: Read) -> None:
    sent = Sent(uid=read.film.uid, name="film", acknowledged=(), expected=("rejected",))
    (problem,) = read.found(sent=[sent])
    assert (problem.kind, problem.series) == (Kind.UNEXPECTED, read.done)
    assert "done instead of rejected" in problem.text


def test_settings_of_the_site_are_heeded(read: Read) -> None:
    (problem,) = read.found(site=Site(results=("sr", "pdf")))
    assert (problem.kind, problem.series) == (Kind.DOUBLED, read.done)
    assert "attention" in problem.text


def test_the_command_tells_what_is_found(read: Read, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--audit", read.pacs.url]) == 0
    assert "nothing was found" in capsys.readouterr().out
    with read.holding(anew(read.result("sr"))) as instance:
        status = main(["--audit", read.pacs.url])
    said = capsys.readouterr().out
    assert status == 1
    assert read.done in said
    assert instance in said


@pytest.fixture(scope="module")
def ledger(read: Read, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the ledger at rest: deletions have the plugin look into Orthanc's changes."""
    assert wait_until_at_rest(read.pacs, seconds=60)
    target = tmp_path_factory.mktemp("ledger") / "ledger.sqlite"
    source = read.pacs.data / "db" / "chest-ai.sqlite"
    with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(target)) as copy:
        live.backup(copy)
    assert list(ledger_file.check(target, COUNTS)) == []
    return target


COUNTS = {"done": 1, "rejected": 1}


@pytest.mark.parametrize(
    ("damage", "kind", "told"),
    [
        ("UPDATE series SET state = 'running' WHERE state = 'done'", Kind.OPEN, "running"),
        ("DELETE FROM series WHERE state = 'rejected'", Kind.LEDGER, "counts"),
        ("UPDATE series SET outcome = '{' WHERE state = 'done'", Kind.LEDGER, "outcome"),
        ("DROP TABLE series", Kind.LEDGER, "no such table"),
    ],
)
def test_a_ledger_that_contradicts_itself_is_told(
    ledger: Path, tmp_path: Path, damage: str, kind: Kind, told: str
) -> None:
    damaged = Path(shutil.copy(ledger, tmp_path))
    with closing(sqlite3.connect(damaged)) as database, database:
        database.execute(damage)
    problems = list(ledger_file.check(damaged, COUNTS))
    assert kind in {problem.kind for problem in problems}
    assert any(told in problem.text for problem in problems)


def test_a_ledger_with_a_broken_page_is_told(ledger: Path, tmp_path: Path) -> None:
    content = bytearray(ledger.read_bytes())
    page = int.from_bytes(content[16:18], "big")
    content[page : 2 * page] = bytes(page)
    damaged = tmp_path / "damaged.sqlite"
    damaged.write_bytes(content)
    problems = list(ledger_file.check(damaged, COUNTS))
    assert {problem.kind for problem in problems} == {Kind.LEDGER}


class Canned(Orthanc):
    """An Orthanc that holds one series and says of it what no plugin should: real ones cannot be made to."""

    def __init__(self, entry: dict[str, Any], *, counted: str = "", state: str = "ready") -> None:
        super().__init__("http://nowhere")
        self._answers = {
            "/series?expand&since=0&limit=500": [
                {
                    "ID": "s",
                    "ParentStudy": "t",
                    "Instances": ["i"],
                    "MainDicomTags": {"Modality": "DX"},
                }
            ],
            "/series?expand&since=1&limit=500": [],
            "/ai/series/s": entry,
            "/ai/series?limit=1000": [entry],
            "/ai/status": {
                "state": state,
                "reason": "broken",
                "counts": {counted or str(entry["state"]): 1, "waiting": 0},
            },
        }

    def get(self, path: str) -> Any:
        return self._answers[path]


NOTHING = {
    "series": "s",
    "modality": "xray",
    "error": None,
    "attempts": 1,
    "findings": None,
    "verdict": {"accepted": None, "reasons": []},
    "outputs": dict.fromkeys(("sr", "pdf", "seg", "attention")),
    "superseded": [],
    "gone": [],
}


@pytest.mark.parametrize(
    ("said", "kind", "told"),
    [
        ({"state": "rejected"}, Kind.NO_REASON, "no rule or network"),
        ({"state": "failed"}, Kind.NO_REASON, "without an error"),
        ({"state": "running"}, Kind.OPEN, "running after 1 attempts"),
        ({"state": "done"}, Kind.MISSING, "no sr is named"),
        ({"state": "done", "outputs": {"sr": "nowhere"}}, Kind.GHOST, "does not hold"),
    ],
)
def test_what_no_plugin_should_say_is_told(said: dict[str, Any], kind: Kind, told: str) -> None:
    problems = audit(Canned(NOTHING | said))
    assert kind in {problem.kind for problem in problems}
    assert any(told in problem.text for problem in problems)


def test_counts_that_do_not_agree_are_told() -> None:
    failed = NOTHING | {"state": "failed", "error": "broken"}
    assert audit(Canned(failed)) == []
    (problem,) = audit(Canned(failed, counted="rejected"))
    assert problem.kind == Kind.LEDGER
    (disabled,) = audit(Canned(failed, state="disabled"))
    assert disabled.kind == Kind.OPEN
