"""From C-STORE to stored results, on a real Orthanc with the real models."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pydicom
import pytest

from tests.conftest import Pacs, StartPacs
from tests.pacs_client import all_results, settled, status, wait_ready, wait_until


def test_both_synthetic_studies_are_read(orthanc_server: StartPacs, synthetic: dict[str, list[Path]]) -> None:
    pacs = orthanc_server()
    began = time.monotonic()
    pacs.store([*synthetic["xray"], *synthetic["ct"]])
    known = settled(pacs, 2)
    elapsed = time.monotonic() - began
    by_modality = {entry["modality"]: entry for entry in known.values()}
    for entry in known.values():
        assert entry["state"] == "done", entry
        assert entry["verdict"]["accepted"]
        assert entry["error"] is None
        assert entry["attempts"] == 1
    x_ray, ct = by_modality["xray"], by_modality["ct"]
    assert {kind for kind, stored in x_ray["outputs"].items() if stored} == {"sr", "pdf", "attention"}
    assert {kind for kind, stored in ct["outputs"].items() if stored} == {"sr", "pdf", "seg"}
    lungs = ct["findings"]["lungs"]
    assert 2000 < lungs["both"]["volume_ml"] < 8000
    for side in ("left", "right"):
        assert 0.3 < lungs[side]["volume_ml"] / lungs["both"]["volume_ml"] < 0.7
    low, high = lungs["drawn"]["findings_ml"]
    assert low < lungs["both"]["findings_ml"] < high
    # Everything but the wait for stability lies in one stage or another.
    assert set(ct["timings"]) == {
        *("wait", "header", "decode", "screen", "classify", "segment", "measure", "results", "store"),
    }
    assert ct["timings"]["segment"] > ct["timings"]["decode"]
    assert 0 < sum(ct["timings"].values()) < elapsed
    for entry in known.values():
        source = pacs.get(f"/series/{entry['series']}/study")["ID"]
        for stored in filter(None, entry["outputs"].values()):
            assert pacs.get(f"/instances/{stored}/study")["ID"] == source
    # The plugin's own results have become stable by now, and start nothing.
    assert status(pacs)["counts"] == {"waiting": 0, "running": 0, "done": 2, "rejected": 0, "failed": 0}
    assert {kind: len(found) for kind, found in all_results(pacs).items()} == {
        "SR": 2, "DOC": 2, "SEG": 1, "OT": 1,
    }  # fmt: skip


def test_published_networks_read_beside_the_default_ones(
    orthanc_server: StartPacs, synthetic: dict[str, list[Path]]
) -> None:
    chosen = {
        "Xray": ["auto", "xray-covid-b5"],
        "CtAxial": ["auto", "ct-class-ax-b4"],
        "CtSagittal": ["auto", "ct-class-sg-b4"],
        "CtVolume": ["ct-class-volume-compact"],
        "CtSegmentation": "ct-segment-full",
    }
    pacs = orthanc_server(chest_ai={"Models": chosen})
    pacs.store([*synthetic["xray"], *synthetic["ct"]])
    by_modality = {entry["modality"]: entry for entry in settled(pacs, 2).values()}
    assert {entry["state"] for entry in by_modality.values()} == {"done"}, by_modality
    read = {
        modality: [said["model"] for said in entry["findings"]["classifications"]]
        for modality, entry in by_modality.items()
    }
    assert read == {
        "xray": ["xray-covid-lite0", "xray-covid-b5"],
        "ct": [
            *("ct-class-ax-compact", "ct-class-ax-b4", "ct-class-sg-compact", "ct-class-sg-b4"),
            "ct-class-volume-compact",
        ],
    }
    lungs = by_modality["ct"]["findings"]["lungs"]
    assert lungs["drawn"] is None, "its errors were measured on too few patients"
    assert 2000 < lungs["both"]["volume_ml"] < 8000
    for side in ("left", "right"):
        assert 0.3 < lungs[side]["volume_ml"] / lungs["both"]["volume_ml"] < 0.7


def test_the_same_again_gives_no_second_result(
    orthanc_server: StartPacs, synthetic: dict[str, list[Path]]
) -> None:
    pacs = orthanc_server()
    pacs.store(synthetic["xray"])
    (series,) = settled(pacs, 1)
    before = all_results(pacs)
    finished = pacs.get(f"/ai/series/{series}")["updated_at"]
    pacs.store(synthetic["xray"])
    answer = pacs.request("POST", f"/ai/series/{series}/run")
    assert answer.status_code == 200, answer.text
    settled(pacs, 1)
    again = pacs.get(f"/ai/series/{series}")
    assert again["updated_at"] > finished
    assert again["superseded"] == []
    assert all_results(pacs) == before


def test_overwritten_instances_are_not_read_twice(
    orthanc_server: StartPacs, synthetic: dict[str, list[Path]]
) -> None:
    pacs = orthanc_server(orthanc={"OverwriteInstances": True})
    pacs.store(synthetic["xray"])
    (series,) = settled(pacs, 1)
    before = all_results(pacs)
    timings = pacs.get(f"/ai/series/{series}")["timings"]
    pacs.store(synthetic["xray"])
    again = settled(pacs, 1)[series]
    assert again["timings"] == timings, "it was read again"
    assert all_results(pacs) == before


@pytest.mark.parametrize("superseded", ["delete", "keep"])
def test_a_series_that_grew_is_read_again(
    orthanc_server: StartPacs, synthetic: dict[str, list[Path]], superseded: str
) -> None:
    # Without the network that rejects partial chests, which the first part may be.
    pacs = orthanc_server(chest_ai={"Superseded": superseded, "Models": {"CtReject": ""}})
    slices = synthetic["small_ct"]
    pacs.store(slices[4:])
    (series,) = settled(pacs, 1)
    first = pacs.get(f"/ai/series/{series}")
    assert first["state"] == "done", first
    pacs.store(slices[:4])

    second = settled(pacs, 1)[series]
    while second["outputs"] == first["outputs"]:
        second = settled(pacs, 1)[series]
    old = {stored for stored in first["outputs"].values() if stored}
    new = {stored for stored in second["outputs"].values() if stored}
    assert not old & new
    assert old <= set(second["superseded"])
    held = {stored for found in all_results(pacs).values() for stored in found}
    assert held == (new if superseded == "delete" else new | set(second["superseded"]))
    report = pydicom.dcmread(io.BytesIO(pacs.read(f"/instances/{second['outputs']['sr']}/file")))
    assert report.PredecessorDocumentsSequence


def test_a_lost_ledger_is_made_up_from_the_pacs(
    orthanc_server: StartPacs, synthetic: dict[str, list[Path]]
) -> None:
    pacs = orthanc_server()
    pacs.store(synthetic["xray"])
    (series,) = settled(pacs, 1)
    first = pacs.get(f"/ai/series/{series}")
    before = all_results(pacs)
    pacs.stop()
    for file in (pacs.data / "db").glob("chest-ai.sqlite*"):
        file.unlink()
    pacs.start()
    again = settled(pacs, 1)[series]
    assert (again["outputs"], again["timings"]) == (first["outputs"], first["timings"])
    assert all_results(pacs) == before


@pytest.mark.parametrize(("days", "read"), [(7, 1), (0, 0)])
def test_what_came_before_the_first_start_is_read_as_far_back_as_set(
    orthanc_server: StartPacs, synthetic: dict[str, list[Path]], days: int, read: int
) -> None:
    pacs = orthanc_server(chest_ai={"Enabled": False})
    pacs.store(synthetic["xray"])
    time.sleep(3)  # stable, and older than "now" to the second
    pacs.stop()
    pacs.configure(chest_ai={"BacklogDays": days})
    pacs.start()
    wait_until(lambda: _looked(pacs), seconds=60, what="what is owed to be looked up")
    assert len(pacs.get("/ai/series")) == read


def _looked(pacs: Pacs) -> bool:
    """Whether what Orthanc holds has been looked at since its start: the metrics are told after that."""
    return "ai_oldest_waiting_seconds" in pacs.request("GET", "/tools/metrics-prometheus").text


def test_a_deleted_series_is_forgotten(orthanc_server: StartPacs, synthetic: dict[str, list[Path]]) -> None:
    pacs = orthanc_server()
    pacs.store(synthetic["xray"])
    (series,) = settled(pacs, 1)
    pacs.request("DELETE", f"/series/{series}").raise_for_status()
    wait_until(lambda: not pacs.get("/ai/series"), seconds=20, what="forgetting")
    answer = pacs.request("POST", f"/ai/series/{series}/run")
    assert answer.status_code == 404


def test_what_the_settings_switch_off_is_not_stored(
    orthanc_server: StartPacs, synthetic: dict[str, list[Path]]
) -> None:
    pacs = orthanc_server(chest_ai={"Results": {"Pdf": False, "Attention": False}})
    pacs.store(synthetic["xray"])
    (entry,) = settled(pacs, 1).values()
    assert [kind for kind, stored in entry["outputs"].items() if stored] == ["sr"]


def test_a_rejected_series_says_why(
    orthanc_server: StartPacs, synthetic: dict[str, list[Path]], tmp_path: Path
) -> None:
    hip = pydicom.dcmread(synthetic["xray"][0])
    hip.BodyPartExamined = "HIP"
    hip.SOPInstanceUID = hip.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    hip.SeriesInstanceUID = pydicom.uid.generate_uid()
    hip.save_as(tmp_path / "hip.dcm")
    pacs = orthanc_server(chest_ai={"Results": {"RejectionSr": "all"}})
    pacs.store([tmp_path / "hip.dcm"])
    (entry,) = settled(pacs, 1).values()
    assert entry["state"] == "rejected"
    assert not entry["verdict"]["accepted"]
    assert "body_part" in [reason["code"] for reason in entry["verdict"]["reasons"]]
    assert [kind for kind, stored in entry["outputs"].items() if stored] == ["sr"]


ODD = {
    "few_slices": (
        *("A027284_axial_19000925-116", "A058062_axial_19001231-084", "A002304_axial_19001231-076", "0"),
        *("A046441_axial_19001111-045", "A002304_coronal_19001231-076", "A002304_sagittal_19001231-080"),
        *("CTImage", "6924", "Issue141", "SignedCT", "TEST_1_study_1234", "WithEmptyPatientComments"),
        *("TOSHIBA_J2K_OpenJPEGv2Regression", "TOSHIBA_J2K_SIZ1_PixRep0", "eCT_Supplemental"),
    ),
    "sop_class": ("1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819",),
    "body_part": ("NM_Kakadu44_SOTmarkerincons", "RG2_J2KI", "RG3_J2KI"),
    "few_rows": ("dx_image",),
    "the network's": ("966_fixed", "RG1_J2KI", "JPEG2KLossless_1s_1f_u_16_16"),
    "not read": (
        *("1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5", "rtdose_rle", "waveform_ecg"),
        *(f"1.2.840.10008.1.2.4.{syntax}" for syntax in (50, 57, 80, 90)),
    ),
}
"""What decides over each odd file: a rule's code, the network, or that nobody reads it."""


def test_every_odd_file_settles_or_is_no_candidate(orthanc_server: StartPacs, data: Path) -> None:
    pacs = orthanc_server()
    wait_ready(pacs)
    reason_of = {name: reason for reason, names in ODD.items() for name in names}
    series: dict[str, str] = {}
    for file in sorted((data / "dicom" / "odd").rglob("*.dcm")):
        name = file.name.partition(".dcm")[0]  # one CT comes in nine transfer syntaxes
        series[pacs.post("/instances", file.read_bytes())["ParentSeries"]] = reason_of[name]
    known = settled(pacs, sum(reason != "not read" for reason in series.values()), seconds=300)
    for identifier, reason in series.items():
        if reason == "not read":
            answer = pacs.request("GET", f"/ai/series/{identifier}")
            assert (answer.status_code, identifier in known) == (404, False)
            assert "is not read" in answer.json()["error"]
            continue
        entry = known[identifier]
        codes = [said["code"] for said in entry["verdict"]["reasons"]]
        if reason == "the network's":
            assert entry["state"] == ("rejected" if "network_rejection" in codes else "done"), entry
        else:
            assert (entry["state"], reason in codes) == ("rejected", True), entry
    assert set(known) == {identifier for identifier, reason in series.items() if reason != "not read"}


def test_one_patient_two_days_shows_the_course(
    orthanc_server: StartPacs, synthetic: dict[str, list[Path]], tmp_path: Path
) -> None:
    def on(day: str) -> list[Path]:
        """The same chest as if it were another study's, of that day."""
        study, series = pydicom.uid.generate_uid(), pydicom.uid.generate_uid()
        files = []
        for number, file in enumerate(synthetic["small_ct"]):
            instance = pydicom.dcmread(file)
            instance.StudyInstanceUID, instance.SeriesInstanceUID = study, series
            instance.SOPInstanceUID = instance.file_meta.MediaStorageSOPInstanceUID = (
                pydicom.uid.generate_uid()
            )
            instance.StudyDate = day
            files.append(tmp_path / f"{day}-{number}.dcm")
            instance.save_as(files[-1])
        return files

    pacs = orthanc_server()
    pacs.store(synthetic["small_ct"])
    settled(pacs, 1)
    # There is no such day: that study is left out of the course, and nothing else.
    pacs.store(on("20990230"))
    settled(pacs, 2)
    pacs.store(on("20991231"))
    known = settled(pacs, 3)
    assert {entry["state"] for entry in known.values()} == {"done"}
    reports = [
        pydicom.dcmread(io.BytesIO(pacs.read(f"/instances/{entry['outputs']['sr']}/file")))
        for entry in known.values()
    ]
    words = {
        report.StudyDate: " ".join(
            element.value for element in report.iterall() if element.keyword == "TextValue"
        )
        for report in reports
    }
    first = str(pydicom.dcmread(synthetic["small_ct"][0]).StudyDate)
    assert f"Since {first[:4]}-{first[4:6]}-{first[6:]} the marked share of the lungs" in words["20991231"]
    assert "the marked share of the lungs went" not in words[first]
