"""The site's urgent rule on a real Orthanc: ten CTs wait, an urgent one arrives last and is read next."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import StartPacs
from tests.dicom_factory import as_file, ct_series
from tests.pacs_client import settled, status, wait_until

WAITING = 10


def _ct(folder: Path, number: int, description: str) -> list[Path]:
    """A CT of small slices, of a patient of its own, as files."""
    files = []
    for index, slice_ in enumerate(ct_series(PatientID=f"P{number}", StudyDescription=description)):
        files.append(folder / f"{number}-{index}.dcm")
        files[-1].write_bytes(as_file(slice_))
    return files


def test_an_urgent_ct_that_arrives_last_is_read_next(orthanc_server: StartPacs, tmp_path: Path) -> None:
    routine = [_ct(tmp_path, number, "CT CHEST ROUTINE") for number in range(WAITING)]
    stat = _ct(tmp_path, WAITING, "CT CHEST STAT")
    pacs = orthanc_server(chest_ai={"Enabled": False})  # nothing is read before all ten wait
    pacs.upload([file for files in routine for file in files])
    pacs.stop()
    pacs.configure(
        chest_ai={
            "Urgent": [{"StudyDescription": ["*stat*"], "Modality": ["CT"]}],
            "Ct": {"MinPixels": 32},
        }
    )
    pacs.start()
    wait_until(lambda: status(pacs)["counts"]["running"], seconds=120, what="the first reading")
    pacs.upload(stat)
    known = settled(pacs, WAITING + 1, seconds=600)
    (urgent,) = (name for name, entry in known.items() if entry["ahead"])
    assert pacs.get(f"/series/{urgent}/study")["MainDicomTags"]["StudyDescription"] == "CT CHEST STAT"
    due = {name: entry["updated_at"] - sum(entry["timings"].values()) for name, entry in known.items()}
    begun = {name: due[name] + entry["timings"]["wait"] for name, entry in known.items()}
    waited = [name for name in known if name != urgent and due[name] < due[urgent] < begun[name]]
    assert len(waited) >= 2, "too few were waiting for this to tell anything"
    assert all(begun[urgent] < begun[name] for name in waited), "it was not read next"


def test_a_misspelt_keyword_is_said_on_the_status_route(orthanc_server: StartPacs) -> None:
    pacs = orthanc_server(chest_ai={"Urgent": [{"StudyDescripton": ["*stat*"]}]})
    told = status(pacs)
    assert told["state"] == "disabled"
    assert "ChestAI.Urgent.0" in told["reason"]
    assert "is StudyDescription meant?" in told["reason"]
