"""What a file can do to its reader ends at the limits of memory and time, with a reason."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import JPEGLSLossless

from plugin.dicom import imaging
from plugin.dicom.helper import Budget, Helper, Task, helper, interpreter
from plugin.domain import errors
from tests.conftest import ROOT
from tests.dicom_factory import MemorySource, as_file, ct_series, source, xray_dataset

PIXELS = 6144**2
FILM_MIB = 256 + (32 * PIXELS >> 20)
"""What the helper may take for the largest film."""


@pytest.mark.parametrize(
    ("case", "outcome", "process_mib", "helper_mib"),
    [
        ("jpeg_2000_components", "inconsistent_pixels: the compressed pixel data has 16384 comp", 16, 128),
        ("jp2_decoy", "inconsistent_pixels: the compressed pixel data is (16000, 16000)", 16, 128),
        ("jpeg_2000_precincts", "undecodable: the pixel data (JPEG 2000", 16, FILM_MIB + 128),
        ("film_of_16384", "many_pixels: the image has 16384 x 16384 pixels: at most 6144 x 6144", 16, 128),
        ("jpeg_ls_run", "read", 256, FILM_MIB),
        ("largest_film", "read", 256, FILM_MIB),
        ("deflated", "too_large: reading the file takes more than", 16, 384),
        ("large_tags", "too_large: the header has more than 256 KiB", 64, 256),
        ("small_tags", "too_large: reading the file takes more than", 64, 640),
        ("nested_sequences", "unreadable_instance: the file cannot be read as DICOM", 16, 128),
    ],
)
def test_no_file_takes_more_memory_than_its_declared_size_needs(
    case: str, outcome: str, process_mib: int, helper_mib: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.hostile", case],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
        check=True,
    )
    measured = json.loads(done.stdout)
    assert measured["outcome"].startswith(outcome)
    assert measured["process"] - measured["made"] <= process_mib
    assert 0 < measured["helper"] <= helper_mib


def one_slice() -> bytes:
    return as_file(ct_series(positions=[0.0])[0])


def test_computing_time_is_limited_also_inside_a_decoder() -> None:
    """A film whose decoding takes longer than a hundredth of a second, and the next file is read."""
    reader = Helper()
    film = xray_dataset(np.random.default_rng(1).integers(0, 4096, (3000, 3000), dtype=np.uint16))
    data = as_file(film)
    reader.header(data, budget=Budget(1), instance_id="warm")
    spent = Budget(1)
    spent.seconds = 0.01
    with pytest.raises(errors.TooSlow, match="takes more than 0 s of computing time") as caught:
        reader.film(data, budget=spent, instance_id="film", max_pixels=PIXELS)
    assert caught.value.instance_id == "film"
    assert caught.value.code == "too_slow"
    frame, _, _ = reader.ct_slice(one_slice(), budget=Budget(1), instance_id="next", max_pixels=PIXELS)
    assert frame.shape == (40, 48)
    reader.close()


def test_a_series_has_a_budget_of_time() -> None:
    budget = Budget(10)
    assert budget.total == 125
    before = budget.seconds
    for _ in range(50):  # the kernel counts computing time in ticks: one header may take none
        helper.header(one_slice(), budget=budget, instance_id="a")
    assert budget.seconds < before
    budget.seconds = 0
    with pytest.raises(errors.TooSlow, match="the series takes more than 125 s"):
        helper.header(one_slice(), budget=budget, instance_id="a")


@pytest.mark.parametrize(
    ("signal_number", "kind", "error"),
    [
        (signal.SIGSEGV, "slice", errors.UndecodablePixels),
        (signal.SIGABRT, "header", errors.UnreadableInstance),
        (signal.SIGKILL, "slice", OSError),
        (signal.SIGPROF, "slice", errors.TooSlow),
    ],
)
def test_how_the_helper_ended_says_what_it_was(
    signal_number: signal.Signals, kind: str, error: type[Exception]
) -> None:
    """A crash belongs to the file, a kill from outside does not: the series is tried again."""
    reader = Helper()
    reader.header(one_slice(), budget=Budget(1), instance_id="a")
    process = reader._process
    assert process is not None
    process.send_signal(signal_number)
    process.wait()
    assert isinstance(reader._ended(Task(kind=kind, seconds=1)), error)  # type: ignore[arg-type]
    reader.header(one_slice(), budget=Budget(1), instance_id="a")
    reader.close()


def test_a_helper_that_is_killed_while_it_reads_is_no_fault_of_the_file() -> None:
    reader = Helper()
    data = as_file(xray_dataset(np.zeros((6000, 6000), np.uint16)))
    reader.header(one_slice(), budget=Budget(1), instance_id="a")
    process = reader._process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    threading.Timer(0.3, process.kill).start()
    with pytest.raises(OSError, match="status -9"):
        reader.film(data, budget=Budget(1), instance_id="a", max_pixels=PIXELS)


def test_the_helper_ends_with_its_parent_however_that_ended() -> None:
    script = (
        "import os, signal, sys; from tests.test_hostile import one_slice; "
        "from plugin.dicom.helper import Budget, helper; "
        "helper.header(one_slice(), budget=Budget(1), instance_id='a'); "
        "print(helper._process.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    pid = int(done.stdout)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()


def test_the_helper_works_under_the_site_s_own_limit() -> None:
    """A service may run under LimitAS: the helper cannot raise that, and need not."""
    script = (
        "from tests.test_hostile import one_slice; from plugin.dicom.helper import Budget, helper; "
        "print(helper.header(one_slice(), budget=Budget(1), instance_id='a')[0].Modality)"
    )
    limited = f'ulimit -v 4000000; exec {sys.executable} -c "{script}"'
    done = subprocess.run(["bash", "-c", limited], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "CT"


def test_inside_orthanc_python_is_found_beside_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/usr/sbin/Orthanc")
    found = Path(interpreter())
    assert found.name.startswith("python3")
    asked = subprocess.run(
        [found, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, check=True
    )
    assert asked.stdout.decode().strip() == str(sys.version_info[:2])
    monkeypatch.setattr(sys, "prefix", "/nowhere")
    monkeypatch.setattr(sys, "base_prefix", "/nowhere")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(OSError, match="is not installed"):
        interpreter()


def test_reasons_are_sentences_and_the_decoder_s_words_go_to_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    dataset = ct_series(positions=[0.0])[0]
    dataset.compress(JPEGLSLossless)
    dataset.PixelData = dataset.PixelData[:90] + bytes(len(dataset.PixelData) - 90)
    series = source(dataset)
    with pytest.raises(errors.UndecodablePixels) as caught:
        imaging.read_ct(series, imaging.read_instances(series))
    assert str(caught.value).startswith(
        "the pixel data (JPEG-LS Lossless Image Compression) cannot be decoded: "
        "it is damaged, cut short or of another kind"
    )
    assert caught.value.instance_id == "i000"
    assert "instance i000: the pixel data is not decoded: " in caplog.text
    with pytest.raises(errors.UnreadableInstance) as caught_too:
        imaging.read_instances(MemorySource({"broken": b"no DICOM at all" * 40}))
    assert str(caught_too.value).startswith(
        "the file cannot be read as DICOM: it is damaged, cut short or something else"
    )


def test_headers_of_one_series_have_a_limit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imaging, "MAX_HEADERS_BYTES", 30_000)
    series = source(*ct_series(positions=range(40)))
    with pytest.raises(errors.TooLarge, match="headers of the series"):
        imaging.read_instances(series)
