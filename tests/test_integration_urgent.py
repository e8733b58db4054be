"""The site's urgent rule on a real Orthanc: ten CTs wait, an urgent one arrives last and is read next."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import StartPacs
from tests.dicom_factory import as_file, ct_series
from tests.pacs_client import settled, status

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
    pacs = orthanc_server(chest_ai={"Enabled": False})  # nothing is read before all of them wait
    pacs.upload([file for files in routine for file in files])
    pacs.upload(stat)
    pacs.stop()
    pacs.configure(
        chest_ai={
            "Urgent": [{"StudyDescription": ["*stat*"], "Modality": ["CT"]}],
            "Ct": {"MinPixels": 32},
        }
    )
    pacs.start()
    known = settled(pacs, WAITING + 1, seconds=600)
    (urgent,) = (name for name, entry in known.items() if entry["ahead"])
    assert pacs.get(f"/series/{urgent}/study")["MainDicomTags"]["StudyDescription"] == "CT CHEST STAT"
    ended = sorted(known, key=lambda name: known[name]["updated_at"])
    assert urgent in ended[:2], "it was read neither first nor right after the one that was being read"


def test_a_misspelt_keyword_is_said_on_the_status_route(orthanc_server: StartPacs) -> None:
    pacs = orthanc_server(chest_ai={"Urgent": [{"StudyDescripton": ["*stat*"]}]})
    told = status(pacs)
    assert told["state"] == "disabled"
    assert "ChestAI.Urgent.0" in told["reason"]
    assert "is StudyDescription meant?" in told["reason"]
