"""One series from claim to settlement, on an Orthanc in memory; above all what happens when it fails."""

from __future__ import annotations

import copy
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import generate_uid

from plugin import pipelines
from plugin.domain.errors import SourceChanged
from plugin.domain.kinds import Modality, ResultKind
from plugin.domain.outcome import Outcome
from plugin.models.lineup import Lineup
from plugin.models.loading import load_model
from plugin.pipelines.reading import Reading, Request, Stages
from plugin.queue import recipe
from plugin.queue.job import Job
from plugin.queue.ledger import Entry, Ledger, State
from plugin.settings import SECTION, Settings, read_settings
from tests.conftest import ROOT
from tests.dicom_factory import as_file, ct_series, xray_dataset
from tests.fake_pacs import FakeOrthanc


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    yield opened
    opened.close()


def _settings(**section: object) -> Settings:
    return read_settings({SECTION: {"Results": {"RejectionSr": "all"}, **section}})


def _hip(**attributes: object) -> FileDataset:
    """A film that the header rules reject, so that it is read without a network, with an SR."""
    pixels = np.zeros((512, 512), np.uint16)
    return xray_dataset(pixels, **{"BodyPartExamined": "HIP", "StudyDate": "20240516", **attributes})


def _claim(ledger: Ledger, series: str, modality: str = "xray", *, forced: bool = True) -> Entry:
    if forced:
        ledger.request(series, modality)
    else:
        ledger.advance(1, {series: modality}, {series: time.time()})
    entry = ledger.claim()
    assert entry is not None
    return entry


def _run(fake: FakeOrthanc, ledger: Ledger, entry: Entry, settings: Settings | None = None) -> None:
    stages = Stages(lambda _stage, _progress: None)
    Job(fake.pacs, ledger, Lineup(), settings or _settings(), stages).run(entry)


def _entry(ledger: Ledger, series: str) -> Entry:
    entry = ledger.get(series)
    assert entry is not None
    return entry


def _outcome(ledger: Ledger, series: str) -> dict[str, object]:
    entry = _entry(ledger, series)
    assert entry.outcome is not None
    return entry.outcome


def _read(fake: FakeOrthanc, ledger: Ledger, series: str, settings: Settings | None = None) -> Dataset:
    """The report that a reading of the series, asked for, ends with; the only one that is held."""
    _run(fake, ledger, _claim(ledger, series), settings)
    (report,) = fake.instances(Modality="SR")
    assert _outcome(ledger, series)["outputs"]["sr"] == report
    return fake.file(report)


NOTHING: dict[str, str | None] = dict.fromkeys(ResultKind)


def test_a_rejected_film_is_settled_with_its_report(fake: FakeOrthanc, ledger: Ledger) -> None:
    series = fake.add(as_file(_hip()))
    _run(fake, ledger, _claim(ledger, series))
    entry = ledger.get(series)
    assert entry is not None
    assert entry.state is State.REJECTED
    (report,) = fake.instances(Modality="SR")
    outcome = _outcome(ledger, series)
    assert outcome["outputs"] == NOTHING | {"sr": report}
    assert "body_part" in [remark["code"] for remark in outcome["verdict"]["reasons"]]
    assert json.loads(fake.metadata(series)["4207"]) == outcome


def test_the_same_again_makes_the_same_file(fake: FakeOrthanc, ledger: Ledger) -> None:
    series = fake.add(as_file(_hip()))
    first = _read(fake, ledger, series)
    fake.calls.clear()
    assert _read(fake, ledger, series) == first
    assert not [call for call in fake.calls if call.startswith("DELETE")], "it was replaced"
    assert _outcome(ledger, series)["superseded"] == []


def test_the_same_after_a_lost_ledger_keeps_its_date(
    fake: FakeOrthanc, ledger: Ledger, tmp_path: Path
) -> None:
    series = fake.add(as_file(_hip()))
    first = _read(fake, ledger, series)
    time.sleep(1.1)  # a date is to the second
    empty = Ledger(f"sqlite:///{tmp_path / 'another.sqlite'}")
    assert _read(fake, empty, series) == first
    empty.close()


@pytest.mark.parametrize("superseded", ["delete", "keep"])
@pytest.mark.parametrize(
    "setting", [{"Language": "pt"}, {"Institution": "Elsewhere"}, {"SeriesNumbers": {"Sr": 8801}}]
)
def test_a_changed_setting_makes_a_result_of_its_own(
    fake: FakeOrthanc, ledger: Ledger, setting: dict[str, object], superseded: str
) -> None:
    series = fake.add(as_file(_hip()))
    before = _read(fake, ledger, series)
    (old,) = fake.instances(Modality="SR")
    _run(fake, ledger, _claim(ledger, series), _settings(Superseded=superseded, **setting))
    outcome = _outcome(ledger, series)
    new = outcome["outputs"]["sr"]
    assert new != old
    assert outcome["superseded"] == [old]
    assert fake.file(new).SOPInstanceUID != before.SOPInstanceUID
    held = fake.instances(Modality="SR")
    assert held == (sorted([old, new]) if superseded == "keep" else [new])
    (study,) = fake.file(new).PredecessorDocumentsSequence
    named = study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert named.ReferencedSOPInstanceUID == before.SOPInstanceUID


def test_another_version_makes_a_result_of_its_own_with_its_own_date(
    fake: FakeOrthanc, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = fake.add(as_file(_hip()))
    before = _read(fake, ledger, series)
    time.sleep(1.1)
    monkeypatch.setattr(recipe, "__version__", "99.0.0")
    after = _read(fake, ledger, series)
    assert after.SOPInstanceUID != before.SOPInstanceUID
    assert (after.ContentDate, after.ContentTime) > (before.ContentDate, before.ContentTime)


def test_a_reading_again_goes_on_naming_what_it_replaced(fake: FakeOrthanc, ledger: Ledger) -> None:
    series = fake.add(as_file(_hip()))
    _read(fake, ledger, series)
    portuguese = _settings(Language="pt")
    first = _read(fake, ledger, series, portuguese)
    assert first.PredecessorDocumentsSequence
    assert _read(fake, ledger, series, portuguese) == first


def test_other_content_under_the_same_uids_is_replaced(fake: FakeOrthanc, ledger: Ledger) -> None:
    series = fake.add(as_file(_hip()))
    made = _read(fake, ledger, series)
    (report,) = fake.instances(Modality="SR")
    spoilt = fake.file(report)
    spoilt.SeriesDescription = "of an older library"
    fake.replace(report, as_file(spoilt))
    assert _read(fake, ledger, series) == made


def test_what_orthanc_will_not_replace_is_a_failed_attempt(fake: FakeOrthanc, ledger: Ledger) -> None:
    series = fake.add(as_file(_hip()))
    _read(fake, ledger, series)
    (report,) = fake.instances(Modality="SR")
    spoilt = fake.file(report)
    spoilt.SeriesDescription = "of an older library"
    fake.replace(report, as_file(spoilt))
    fake.before("DELETE", f"/instances/{report}", lambda: b"it is protected")
    with pytest.raises(OSError, match="other content"):
        _run(fake, ledger, _claim(ledger, series))


def test_a_report_that_is_refused_leaves_the_series_open(fake: FakeOrthanc, ledger: Ledger) -> None:
    series = fake.add(as_file(_hip()))
    fake.before("POST", "/instances", fake.refuse)
    with pytest.raises(OSError, match="Bad file format"):
        _run(fake, ledger, _claim(ledger, series))
    entry = ledger.get(series)
    assert entry is not None
    assert entry.state is State.RUNNING
    assert len(entry.stored) == 1, "what may have been stored is remembered"
    assert not fake.metadata(series)


def test_an_unexpected_answer_does_not_forget_the_series(fake: FakeOrthanc, ledger: Ledger) -> None:
    series = fake.add(as_file(_hip()))
    fake.before("GET", f"/series/{series}", lambda: b"{}")
    with pytest.raises(KeyError):
        _run(fake, ledger, _claim(ledger, series))
    assert ledger.get(series) is not None


def test_a_series_that_is_gone_is_forgotten(fake: FakeOrthanc, ledger: Ledger) -> None:
    series = fake.add(as_file(_hip()))
    entry = _claim(ledger, series)
    fake.delete(series)
    _run(fake, ledger, entry)
    assert ledger.get(series) is None


@pytest.mark.parametrize(
    ("method", "call"),
    [
        ("GET", "/instances/.*/file"),  # while it is read
        ("POST", "/instances"),  # right before its result is stored
        ("PUT", "/series/.*/metadata/4207"),  # right after
    ],
)
def test_deleted_while_it_is_read_leaves_nothing_of_nobody(
    fake: FakeOrthanc, ledger: Ledger, method: str, call: str
) -> None:
    series = fake.add(as_file(_hip()))
    fake.before(method, call, lambda: fake.delete(series))
    _run(fake, ledger, _claim(ledger, series))
    assert ledger.get(series) is None
    assert fake.instances() == []


def test_a_full_store_that_pushes_the_source_out_leaves_nothing(fake: FakeOrthanc, ledger: Ledger) -> None:
    # Orthanc recycles the oldest patient to make room for the result, which is the source's own.
    series = fake.add(as_file(_hip()))
    other = fake.add(as_file(_hip(PatientID="ANOTHER")))
    fake.before("POST", "/instances", lambda: fake.delete(series))
    _run(fake, ledger, _claim(ledger, series))
    assert not fake.instances(Modality="SR")
    assert fake.holds(other)


@pytest.mark.parametrize(("setting", "left"), [("delete", 0), ("keep", 1)])
def test_the_results_of_a_series_deleted_later_go_or_stay(
    fake: FakeOrthanc, ledger: Ledger, setting: str, left: int
) -> None:
    series = fake.add(as_file(_hip()))
    _read(fake, ledger, series)
    entry = _claim(ledger, series)
    fake.delete(series)
    _run(fake, ledger, entry, _settings(SourceDeleted=setting))
    assert ledger.get(series) is None
    assert len(fake.instances(Modality="SR")) == left


@pytest.mark.parametrize("call", ["/instances/.*/file", "/instances"])
def test_slices_deleted_while_it_is_read_make_it_read_again(
    fake: FakeOrthanc, ledger: Ledger, call: str
) -> None:
    slices = ct_series(BodyPartExamined="HIP")
    series = fake.add(*map(as_file, slices))
    gone = fake.instances(InstanceNumber="3")[0]
    fake.before("POST" if call == "/instances" else "GET", call, lambda: fake.delete(gone))
    with pytest.raises(SourceChanged):
        _run(fake, ledger, _claim(ledger, series, "ct"))
    ledger.give_back(_entry(ledger, series))
    again = ledger.claim()
    assert again is not None
    _run(fake, ledger, again)
    (report,) = fake.instances(Modality="SR")
    spoken_of = {e.value for e in fake.file(report).iterall() if e.keyword == "ReferencedSOPInstanceUID"}
    assert slices[2].SOPInstanceUID not in spoken_of
    assert slices[3].SOPInstanceUID in spoken_of


def test_files_of_another_kind_are_not_read(fake: FakeOrthanc, ledger: Ledger) -> None:
    # By Orthanc's index it is a film, by the file it is none.
    series = fake.add(as_file(_hip()))
    entry = _claim(ledger, series)
    (instance,) = fake.instances()
    fake.replace(instance, as_file(_hip(Modality="DY")))
    _run(fake, ledger, entry)
    assert ledger.get(series) is None
    assert fake.instances(Modality="SR") == []


def test_one_file_of_another_kind_is_left_out(fake: FakeOrthanc, ledger: Ledger) -> None:
    film = _hip()
    uids = {"StudyInstanceUID": film.StudyInstanceUID, "SeriesInstanceUID": film.SeriesInstanceUID}
    other = _hip(Modality="DY", InstanceNumber=2, **uids)
    series = fake.add(as_file(film), as_file(other))
    report = _read(fake, ledger, series)
    spoken_of = {e.value for e in report.iterall() if e.keyword == "ReferencedSOPInstanceUID"}
    assert spoken_of == {film.SOPInstanceUID}


def _corrected(fake: FakeOrthanc, files: list[Dataset]) -> str:
    """The copies that Orthanc 1.10.1 makes to correct a study: new UIDs, references as they were."""
    study, series_uids = generate_uid(), {}
    source = ""
    for file in files:
        corrected = pydicom.dcmread(io.BytesIO(as_file(file)))
        series_uid = series_uids.setdefault(corrected.SeriesInstanceUID, generate_uid())
        corrected.PatientName = "Corrected^Name"
        corrected.StudyInstanceUID, corrected.SeriesInstanceUID = study, series_uid
        corrected.SOPInstanceUID = corrected.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        series = fake.add(as_file(corrected))
        fake.metadata(series)["ModifiedFrom"] = b"another"
        if corrected.Modality != "SR":
            source = series
    return source


@pytest.mark.parametrize("superseded", ["delete", "keep"])
def test_a_corrected_study_has_one_current_set(fake: FakeOrthanc, ledger: Ledger, superseded: str) -> None:
    film = _hip()
    original = fake.add(as_file(film))
    report = _read(fake, ledger, original)
    source = _corrected(fake, [film, report])
    settings = _settings(Superseded=superseded)
    _run(fake, ledger, _claim(ledger, source, forced=False), settings)
    outcome = _outcome(ledger, source)
    assert len(outcome["superseded"]) == 1, "the copy of the old report"
    held = fake.instances(Modality="SR", PatientName="Corrected^Name")
    current = outcome["outputs"]["sr"]
    assert held == ([current] if superseded == "delete" else sorted([current, *outcome["superseded"]]))
    original_report = _outcome(ledger, original)["outputs"]["sr"]
    assert fake.holds(original_report), "the original's result is the original's"


def test_copies_that_come_after_the_reading_are_cleared_away_without_another(
    fake: FakeOrthanc, ledger: Ledger
) -> None:
    film = _hip()
    original = fake.add(as_file(film))
    report = _read(fake, ledger, original)
    source = _corrected(fake, [film])
    _run(fake, ledger, _claim(ledger, source, forced=False))
    current = _outcome(ledger, source)["outputs"]["sr"]
    study = fake.file(current).StudyInstanceUID
    late = pydicom.dcmread(io.BytesIO(as_file(report)))
    late.StudyInstanceUID, late.SeriesInstanceUID = study, generate_uid()
    late.SOPInstanceUID = late.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    fake.metadata(fake.add(as_file(late)))["ModifiedFrom"] = b"another"
    fake.calls.clear()
    _run(fake, ledger, _claim(ledger, source, forced=False))
    assert not [call for call in fake.calls if call == "POST /instances"], "it was read again"
    assert fake.instances(Modality="SR", StudyInstanceUID=study) == [current]


def test_results_of_another_series_of_the_study_stay(fake: FakeOrthanc, ledger: Ledger) -> None:
    film = _hip()
    first = fake.add(as_file(film))
    second = fake.add(as_file(_hip(StudyInstanceUID=film.StudyInstanceUID)))
    _run(fake, ledger, _claim(ledger, first))
    _run(fake, ledger, _claim(ledger, second))
    _run(fake, ledger, _claim(ledger, first))
    assert len(fake.instances(Modality="SR")) == 2


def test_a_report_of_somebody_elses_stays(fake: FakeOrthanc, ledger: Ledger) -> None:
    film = _hip()
    series = fake.add(as_file(film))
    report = _read(fake, ledger, series)
    theirs = pydicom.dcmread(io.BytesIO(as_file(report)))
    theirs.ManufacturerModelName = "another program"
    del theirs.ContributingEquipmentSequence
    theirs.SeriesInstanceUID = generate_uid()
    theirs.SOPInstanceUID = theirs.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    kept = fake.add(as_file(theirs))
    _run(fake, ledger, _claim(ledger, series))
    assert fake.holds(kept)


def test_metadata_of_another_series_is_not_this_ones(fake: FakeOrthanc, ledger: Ledger) -> None:
    # A copy may bring its original's metadata along: the original's results are not the copy's.
    original = fake.add(as_file(_hip()))
    _read(fake, ledger, original)
    copied = fake.add(as_file(_hip(PatientID="CORRECTED")))
    fake.metadata(copied)["4207"] = fake.metadata(original)["4207"]
    _run(fake, ledger, _claim(ledger, copied, forced=False))
    assert len(fake.instances(Modality="SR")) == 2


def test_an_older_versions_metadata_is_read(fake: FakeOrthanc, ledger: Ledger) -> None:
    series = fake.add(as_file(_hip()))
    _read(fake, ledger, series)
    (old,) = fake.instances(Modality="SR")
    kept = json.loads(fake.metadata(series)["4207"])
    for newer in ("series", "reading", "dated"):
        del kept[newer]
    kept["lineup"] = "of January"
    fake.metadata(series)["4207"] = json.dumps(kept).encode()
    ledger.forget(series)
    _run(fake, ledger, _claim(ledger, series, forced=False))
    assert old in [*_outcome(ledger, series)["superseded"], _outcome(ledger, series)["outputs"]["sr"]]
    assert len(fake.instances(Modality="SR")) == 1


def test_a_refused_second_result_is_cleared_away_by_the_next_attempt(
    fake: FakeOrthanc, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two results, of which the second is refused; then the content changes."""

    def two_reports(_modality: Modality, request: Request) -> Reading:
        read = pipelines.xray.read(request)
        other = copy.deepcopy(read.results["sr"])
        other.SOPInstanceUID = request.identity.sop_instance_uid("seg")
        other.file_meta.MediaStorageSOPInstanceUID = other.SOPInstanceUID
        return Reading(verdict=read.verdict, results={"seg": other, **read.results})

    monkeypatch.setattr(pipelines, "read", two_reports)
    series = fake.add(as_file(_hip()))
    fake.before("POST", "/instances", fake.refuse, nth=2)
    with pytest.raises(OSError, match="Bad file format"):
        _run(fake, ledger, _claim(ledger, series))
    assert len(fake.instances(Modality="SR")) == 1
    ledger.retry(_entry(ledger, series), "full", 0)
    monkeypatch.setattr(pipelines, "read", lambda _modality, request: pipelines.xray.read(request))
    again = ledger.claim()
    assert again is not None
    _run(fake, ledger, again)
    (report,) = fake.instances(Modality="SR")
    assert _outcome(ledger, series)["outputs"] == NOTHING | {"sr": report}


def test_the_course_asks_for_the_same_person_and_cites_their_report(
    fake: FakeOrthanc, ledger: Ledger
) -> None:
    """Two earlier studies under one ID, one of them another person's."""
    folder = ROOT / "onnx_models" / "ct-segment-compact"
    model = load_model(folder, thresholds={}, providers=["CPUExecutionProvider"], threads=1)
    told = {"PatientName": "Doe^Jane", "PatientID": "P-1", "PatientBirthDate": "19600102", "PatientSex": "F"}
    names = {"20240516": "Doe^Jane", "20240402": "Doe^Jane", "20240301": "Roe^Richard"}
    series = {}
    for day, name in names.items():
        own = {
            "PatientName": name,
            "StudyDate": day,
            "StudyInstanceUID": f"1.2.{day}",
            "SeriesInstanceUID": f"1.2.{day}.1",
            "SOPInstanceUID": f"1.2.{day}.1.1",
        }
        series[day] = fake.add(as_file(_hip(**told | own)))
    lung = {"volume_ml": 2000.0, "findings_ml": 100.0, "percent": 5.0}
    lungs = {"model": model.card.name, "left": lung, "right": lung, "both": lung}
    for day in ("20240402", "20240301"):
        (report,) = fake.instances(StudyInstanceUID=f"1.2.{day}")
        kept = {
            "state": "done",
            "series": series[day],
            "findings": {"classifications": [], "lungs": lungs, "remarks": []},
            "models": [
                {
                    "name": model.card.name,
                    "version": model.card.version,
                    "task": "segment",
                    "sha256": model.card.sha256,
                    "provider": "CPUExecutionProvider",
                }
            ],
            "outputs": {"sr": report},
        }
        fake.pacs.keep_outcome(series[day], Outcome.model_validate(kept))
    stages = Stages(lambda _stage, _progress: None)
    job = Job(fake.pacs, ledger, Lineup(ct_segmentation=model), _settings(), stages)
    (earlier,) = job._history(fake.pacs.series(series["20240516"]))
    assert (earlier.day.isoformat(), earlier.percent) == ("2024-04-02", 5.0)
    assert earlier.report is not None
    assert earlier.report.study_instance_uid == "1.2.20240402"
