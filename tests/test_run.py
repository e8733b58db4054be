"""./run and what stands behind it: its commands, the configuration it writes, the sender, the table."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, JPEGLSLossless

from demo.client import Source, failures
from demo.send import c_store, read_header
from demo.server import ORTHANC, ROOT, OrthancServer, ServerError, free_port, write_configuration
from demo.table import table
from tests.conftest import StartPacs

RUN = str(ROOT / "run")


def small_ct(path: Path, number: int) -> Path:
    """A tiny uncompressed CT image."""
    image = pydicom.Dataset()
    image.file_meta = pydicom.dataset.FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID, image.SOPInstanceUID = pydicom.uid.CTImageStorage, f"1.2.3.{number}"
    image.StudyInstanceUID, image.SeriesInstanceUID = "1.2.3", "1.2.3.0"
    image.PatientID, image.Modality, image.InstanceNumber = "run", "CT", number
    image.Rows, image.Columns, image.SamplesPerPixel = 16, 16, 1
    image.PhotometricInterpretation, image.PixelRepresentation = "MONOCHROME2", 0
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
    image.PixelData = bytes(range(256)) * 2
    image.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("arguments", [[], ["help"], ["--help"]])
def test_run_tells_what_there_is(arguments: list[str]) -> None:
    said = subprocess.run([RUN, *arguments], capture_output=True, text=True, check=True, cwd="/")
    for command in ("demo", "serve", "test", "bench", "soak", "export"):
        assert f"\n  {command}" in said.stdout


def test_an_unknown_command_is_an_error() -> None:
    said = subprocess.run([RUN, "nonsense"], capture_output=True, text=True, check=False)
    assert said.returncode == 2
    assert "Usage" in said.stderr


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_the_scripts_pass_shellcheck() -> None:
    subprocess.run(["shellcheck", RUN, str(ROOT / ".ci" / "run")], check=True)


def test_the_sample_configuration_is_closed_to_the_network() -> None:
    sample = json.loads((ROOT / "orthanc.json").read_text())
    assert sample["RemoteAccessAllowed"] is False
    for operation in ("Find", "Get", "Move"):
        assert sample[f"DicomAlwaysAllow{operation}"] is False
    assert sample["Python"]["AllowThreads"] is True


def test_the_configuration_of_serve(tmp_path: Path) -> None:
    path = write_configuration(
        tmp_path / "data", http_port=1, dicom_port=2, stable_age=3, chest_ai={"Threads": 1}
    )
    written = json.loads(path.read_text())
    assert (written["HttpPort"], written["DicomPort"], written["StableAge"]) == (1, 2, 3)
    assert written["ChestAI"] == {"Threads": 1}
    assert Path(written["StorageDirectory"]).is_dir()
    assert written["PythonScript"] == str(ROOT / "plugin" / "main.py")


def test_serve_says_which_port_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "demo.server", "--http-port", port, "--data", str(tmp_path)]
        said = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert said.returncode == 1
    assert f"port {port} is taken" in said.stderr
    assert "--http-port" in said.stderr


@pytest.mark.skipif(not Path(ORTHANC).exists(), reason="Orthanc is not installed")
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_serve_runs_until_it_is_stopped(tmp_path: Path, ending: signal.Signals) -> None:
    port = free_port()
    options = ["--http-port", str(port), "--dicom-port", str(free_port()), "--data", str(tmp_path)]
    command = [sys.executable, "-m", "demo.server", *options, "--stable-age", "1"]
    serving = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/system", timeout=5).close()
                break
            except urllib.error.URLError:
                assert serving.poll() is None
                time.sleep(0.1)
        os.kill(serving.pid, ending)
        output, _ = serving.communicate(timeout=60)
    finally:
        serving.kill()
    assert serving.returncode == 0, output
    assert f"http://127.0.0.1:{port}/ai/status" in output
    assert "Orthanc has stopped" in output


@pytest.mark.skipif(not Path(ORTHANC).exists(), reason="Orthanc is not installed")
def test_a_server_that_cannot_start_tells_its_log(tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text("raise RuntimeError('broken on purpose')\n")
    server = OrthancServer(tmp_path, orthanc={"PythonScript": str(script)})
    try:
        with pytest.raises(ServerError, match="broken on purpose"):
            server.start()
    finally:
        server.kill()


def test_files_arrive_as_they_are(orthanc_server: StartPacs, tmp_path: Path) -> None:
    plain = small_ct(tmp_path / "plain.dcm", 1)
    header = pydicom.dcmread(small_ct(tmp_path / "jpegls.dcm", 2))
    header.compress(JPEGLSLossless)
    header.save_as(tmp_path / "jpegls.dcm")
    pacs = orthanc_server(chest_ai={"Enabled": False})
    pacs.store([plain, tmp_path / "jpegls.dcm"])
    for instance in pacs.get("/instances"):
        stored = pydicom.dcmread(pydicom.filebase.DicomBytesIO(pacs.read(f"/instances/{instance}/file")))
        sent = pydicom.dcmread(plain if stored.InstanceNumber == 1 else tmp_path / "jpegls.dcm")
        assert stored.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID
        assert stored.PixelData == sent.PixelData
    assert len(pacs.get("/instances")) == 2


def test_what_does_not_arrive_is_told(tmp_path: Path) -> None:
    file = small_ct(tmp_path / "plain.dcm", 1)
    header = read_header(file)
    assert header is not None
    assert c_store([header], free_port()) == {file: "no association with the PACS"}
    deflated = pydicom.dcmread(file)
    deflated.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    deflated.save_as(tmp_path / "deflated.dcm")
    with (tmp_path / "deflated.dcm").open("ab") as end:
        end.write(b"\0" * (1 - (tmp_path / "deflated.dcm").stat().st_size % 2))
    odd = read_header(tmp_path / "deflated.dcm")
    assert odd is not None
    assert "even" in c_store([odd], free_port())[odd.path]


def test_other_files_are_not_taken_for_dicom(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not DICOM")
    (tmp_path / "empty").touch()
    assert read_header(tmp_path / "notes.txt") is None
    assert read_header(tmp_path / "empty") is None


CT = Source(series="a", modality="CT", label="CT chest")
DONE = {
    "state": "done",
    "verdict": {"accepted": True, "reasons": []},
    "findings": {
        "classifications": [
            {"projection": "axial", "called": "COVID", "probabilities": {"COVID": 0.91, "OTHER": 0.09}}
        ],
        "lungs": {
            side: {"volume_ml": 2000.0, "findings_ml": 100.0, "percent": 5.0}
            for side in ("left", "right", "both")
        },
    },
    "timings": {"decode": 1.5, "segment": 2.0},
}


def test_the_table_tells_findings_and_where_the_results_are() -> None:
    text = table({"a": CT}, {"a": DONE}, {"a": {"sr": Path("/results/sr.dcm")}})
    assert "CT chest" in text
    assert "axial: COVID (COVID 0.91, OTHER" in text
    assert "left lung 2000 mL" in text
    assert "3.5" in text
    assert "/results/sr.dcm" in text


def test_missing_results_and_failed_series_are_problems() -> None:
    saved = {"a": {"sr": Path("sr"), "pdf": Path("pdf")}}
    assert list(failures({"a": CT}, {"a": DONE}, saved, must_be_read=False)) == [
        "CT chest: no seg was stored"
    ]
    rejected = {"a": {"state": "rejected"}}
    assert not list(failures({"a": CT}, rejected, saved, must_be_read=False))
    assert list(failures({"a": CT}, rejected, saved, must_be_read=True))
    failed = {"a": {"state": "failed", "error": "out of memory"}}
    assert "out of memory" in next(iter(failures({"a": CT}, failed, saved, must_be_read=False)))
