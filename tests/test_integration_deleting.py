"""What is deleted, corrected or changed leaves one current set of results, on a real Orthanc."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pydicom
import pytest

from tests.conftest import Pacs, StartPacs
from tests.pacs_client import all_results, settled, status, wait_ready, wait_until

NOTHING: dict[str, list[str]] = {"SR": [], "DOC": [], "SEG": [], "OT": []}


def _held(pacs: Pacs) -> set[str]:
    return {stored for found in all_results(pacs).values() for stored in found}


def _outputs(entry: dict[str, Any]) -> set[str]:
    return {stored for stored in entry["outputs"].values() if stored}


def _running(pacs: Pacs, stage: str) -> bool:
    return any(running["stage"] == stage for running in status(pacs)["running"])


@pytest.mark.parametrize("stage", ["classify", "results", "store"])
def test_a_patient_deleted_while_read_stays_deleted(
    orthanc_server: StartPacs, synthetic: dict[str, list[Path]], stage: str
) -> None:
    pacs = orthanc_server()
    wait_ready(pacs)
    pacs.store(synthetic["xray"])
    wait_until(lambda: _running(pacs, stage), seconds=120, what=stage, pause=0.002)
    for patient in pacs.get("/patients"):
        pacs.request("DELETE", f"/patients/{patient}")
    wait_until(lambda: not status(pacs)["running"], seconds=120, what="the end of the reading")
    wait_until(lambda: not pacs.get("/ai/series"), seconds=60, what="forgetting")
    assert pacs.get("/patients") == []


@pytest.mark.parametrize("setting", ["delete", "keep"])
def test_the_results_of_a_deleted_series_go_or_stay(
    orthanc_server: StartPacs, synthetic: dict[str, list[Path]], setting: str
) -> None:
    pacs = orthanc_server(chest_ai={"SourceDeleted": setting})
    pacs.store(synthetic["xray"])
    (series,) = settled(pacs, 1)
    before = all_results(pacs)
    pacs.request("DELETE", f"/series/{series}").raise_for_status()
    wait_until(lambda: not pacs.get("/ai/series"), seconds=30, what="forgetting")
    assert all_results(pacs) == (NOTHING if setting == "delete" else before)


def test_a_ct_that_lost_slices_is_read_again(
    orthanc_server: StartPacs, synthetic: dict[str, list[Path]]
) -> None:
    pacs = orthanc_server(chest_ai={"Models": {"CtReject": ""}})
    pacs.store(synthetic["small_ct"])
    ((series, first),) = settled(pacs, 1).items()
    lost = pacs.get(f"/series/{series}")["Instances"][:2]
    gone = {pacs.get(f"/instances/{instance}")["MainDicomTags"]["SOPInstanceUID"] for instance in lost}
    for instance in lost:
        pacs.request("DELETE", f"/instances/{instance}").raise_for_status()

    def again() -> dict[str, Any] | None:
        entry = settled(pacs, 1)[series]
        return entry if entry["outputs"] != first["outputs"] else None

    second = wait_until(again, seconds=240, what="the second reading")
    assert second["state"] == "done", second
    assert _held(pacs) == _outputs(second)
    for stored in _outputs(second):
        result = pydicom.dcmread(io.BytesIO(pacs.read(f"/instances/{stored}/file")))
        assert not gone & {e.value for e in result.iterall() if e.keyword == "ReferencedSOPInstanceUID"}


def test_deleted_results_are_shown_as_gone_until_asked_for(
    orthanc_server: StartPacs, synthetic: dict[str, list[Path]]
) -> None:
    pacs = orthanc_server()
    pacs.store(synthetic["xray"])
    ((series, first),) = settled(pacs, 1).items()
    report = first["outputs"]["sr"]
    pacs.request("DELETE", f"/instances/{report}").raise_for_status()
    shown = pacs.get(f"/ai/series/{series}")
    assert (shown["outputs"]["sr"], shown["gone"]) == (None, [report])
    assert shown["outputs"]["pdf"] == first["outputs"]["pdf"]
    assert pacs.request("POST", f"/ai/series/{series}/run").status_code == 200
    again = settled(pacs, 1)[series]
    assert (again["outputs"], again["gone"]) == (first["outputs"], [])


@pytest.mark.parametrize("keep_source", [True, False])
def test_a_corrected_patient_has_one_current_set(
    orthanc_server: StartPacs, synthetic: dict[str, list[Path]], keep_source: bool
) -> None:
    pacs = orthanc_server()
    pacs.store(synthetic["xray"])
    ((original, first),) = settled(pacs, 1).items()
    study = pacs.get(f"/series/{original}/study")["ID"]
    order = {"Replace": {"PatientName": "Corrected^Name"}, "Force": True, "KeepSource": keep_source}
    answer = pacs.request("POST", f"/studies/{study}/modify", json=order)
    assert answer.status_code == 200, answer.text
    corrected = answer.json()["ID"]

    def settled_anew() -> set[str] | None:
        known = settled(pacs, 1)
        if len(known) != 1 + keep_source or (original in known) != keep_source:
            return None
        (entry,) = [entry for series, entry in known.items() if series != original]
        wanted = _outputs(entry) | (_outputs(first) if keep_source else set())
        return wanted if _held(pacs) == wanted else None

    wait_until(settled_anew, seconds=120, what="one current set", pause=0.5)
    assert len(pacs.get(f"/studies/{corrected}")["Series"]) == 4


@pytest.mark.parametrize("superseded", ["delete", "keep"])
def test_a_changed_setting_supersedes(
    orthanc_server: StartPacs, synthetic: dict[str, list[Path]], superseded: str
) -> None:
    pacs = orthanc_server(chest_ai={"Superseded": superseded})
    pacs.store(synthetic["xray"])
    ((series, first),) = settled(pacs, 1).items()
    pacs.stop()
    pacs.configure(chest_ai={"Superseded": superseded, "Language": "pt"})
    pacs.start()
    wait_ready(pacs)
    assert pacs.request("POST", f"/ai/series/{series}/run").status_code == 200
    second = settled(pacs, 1)[series]
    assert not _outputs(first) & _outputs(second)
    assert set(second["superseded"]) == _outputs(first)
    assert _held(pacs) == _outputs(second) | (_outputs(first) if superseded == "keep" else set())


def test_a_source_pushed_out_by_recycling_leaves_no_results_of_nobody(
    orthanc_server: StartPacs, synthetic: dict[str, list[Path]], tmp_path: Path
) -> None:
    pacs = orthanc_server(orthanc={"MaximumPatientCount": 2})
    wait_ready(pacs)
    for number in range(6):
        film = pydicom.dcmread(synthetic["xray"][0])
        film.PatientID = f"P{number}"
        film.StudyInstanceUID, film.SeriesInstanceUID = pydicom.uid.generate_uid(), pydicom.uid.generate_uid()
        film.SOPInstanceUID = film.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        film.save_as(tmp_path / f"{number}.dcm")
    pacs.store(sorted(tmp_path.glob("*.dcm")))

    def at_rest() -> bool:
        counts = status(pacs)["counts"]
        held = {s["ID"] for s in pacs.get("/series?expand") if s["MainDicomTags"]["Modality"] == "DX"}
        known = {entry["series"] for entry in pacs.get("/ai/series")}
        return counts["waiting"] == counts["running"] == 0 and held == known

    wait_until(at_rest, seconds=180, what="rest", pause=0.5)
    for study in pacs.get("/studies?expand"):
        modalities = {
            pacs.get(f"/series/{series}")["MainDicomTags"]["Modality"] for series in study["Series"]
        }
        assert "DX" in modalities, "a study of results only"
