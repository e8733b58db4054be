"""Assessed results of a real Orthanc become training cases without names, which the readers take."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

pytest.importorskip("nibabel", reason="nibabel is only needed for training")

from export.corrections import collect
from export.corrections.archive import Archive
from export.corrections.cases import LeftOut, Pseudonyms, findings_in, lesions
from export.corrections.words import Word, latest
from export.data import ct, cxr
from plugin.domain.assessment import Decision
from plugin.results.common import SeriesLabel
from plugin.results.sr.assessment import Correction, Observer, build_assessment
from tests.conftest import Pacs, StartPacs
from tests.pacs_client import settled
from tests.results_factory import volume
from tests.test_results_seg_edited import CORRECTED, LEFT, RIGHT, WHERE, exported

LABEL = SeriesLabel(software_version="0.2.0", language="en")
MARY = Observer(name="Silva^Mary", organization="Hospital", verified=True)


def dataset(pacs: Pacs, instance: str) -> Dataset:
    return pydicom.dcmread(io.BytesIO(pacs.request("GET", f"/instances/{instance}/file").content))


def store(pacs: Pacs, made: Dataset) -> None:
    file = io.BytesIO()
    made.save_as(file, enforce_file_format=True)
    assert pacs.request("POST", "/instances", data=file.getvalue()).status_code == 200


def say(pacs: Pacs, report: Dataset, decision: Decision, hour: int = 9, **said: Any) -> None:
    """Store a physician's word as the plugin makes it."""
    word = build_assessment(
        report=report,
        decision=decision,
        observer=MARY,
        moment=datetime(2024, 5, 18, hour, 0, 0),
        label=LABEL,
        series_number=9906,
        **said,
    )
    store(pacs, word)


def gather(pacs: Pacs, folder: Path) -> dict[str, Any]:
    counts = collect.collect(Archive(pacs.url), folder, Pseudonyms(folder.parent / "key"))
    return counts.as_json()


def test_assessed_results_become_cases_that_the_readers_take(
    orthanc_server: StartPacs,
    synthetic: dict[str, list[Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pacs = orthanc_server(chest_ai={"Models": {"CtReject": ""}})
    pacs.store([*synthetic["xray"], *synthetic["small_ct"]])
    by_modality = {entry["modality"]: entry for entry in settled(pacs, 2).values()}
    reports = {kind: dataset(pacs, entry["outputs"]["sr"]) for kind, entry in by_modality.items()}
    first = tmp_path / "first"
    first.mkdir()
    empty = gather(pacs, first)
    assert (empty["assessed"], empty["cases"]) == (0, {"films": 0, "volumes": 0})

    # A later word takes the place of an earlier one.
    say(pacs, reports["xray"], Decision.REJECT, 8)
    covid = next(c for c in by_modality["xray"]["findings"]["classifications"])
    other = Correction(meaning="No opacities of a pneumonia as in COVID-19")
    say(pacs, reports["xray"], Decision.MODIFY, 9, correction=other)
    say(pacs, reports["ct"], Decision.ACCEPT)
    out = tmp_path / "out"
    out.mkdir()
    counts = gather(pacs, out)
    assert (counts["assessed"], counts["decisions"]) == (2, {"modify": 1, "accept": 1})
    assert counts["cases"]["volumes"] == 1
    assert counts["by_network"][f"{covid['model']} {covid['version']}"] == {"modify": 1}
    assert any(name.startswith("ct-segment-compact 1") for name in counts["by_network"])

    monkeypatch.setenv("CHEST_AI_DATA", str(out))
    monkeypatch.setenv("CHEST_AI_RUNS", str(tmp_path / "runs"))
    (name,) = ct.covid_names()
    volume = ct.load_volume(name)
    seg = dataset(pacs, by_modality["ct"]["outputs"]["seg"])
    assert volume.source == "site"
    assert volume.hu.shape[0] == len(synthetic["small_ct"])
    findings = by_modality["ct"]["findings"]["lungs"]["both"]["findings_ml"]
    assert volume.millilitres(volume.lesion) == pytest.approx(findings, rel=0.02)
    assert seg.SOPInstanceUID not in (out / "ct_covid" / "volumes.csv").read_text()

    # Somebody's own Segmentation of the series, stored later, is what the physician stands for.
    seg.SOPInstanceUID = seg.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    seg.SeriesInstanceUID = pydicom.uid.generate_uid()
    seg.Manufacturer, seg.ManufacturerModelName = "A workstation", "Painter"
    del seg.ContributingEquipmentSequence
    seg.PixelData = b"\0" * len(seg.PixelData)
    store(pacs, seg)
    gather(pacs, out)
    assert not ct.load_volume(name).lesion.any()

    for path in out.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        for said in ("Silva", str(reports["ct"].PatientID), str(reports["ct"].StudyDate)):
            assert said.encode() not in content, path


def test_a_film_gets_the_class_that_the_physician_found(
    orthanc_server: StartPacs,
    synthetic: dict[str, list[Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pacs = orthanc_server(chest_ai={"Models": {"CtAxial": [], "CtSagittal": [], "CtSegmentation": []}})
    pacs.store(synthetic["xray"])
    (entry,) = settled(pacs, 1).values()
    report = dataset(pacs, entry["outputs"]["sr"])
    said = entry["findings"]["classifications"][0]
    card = json.loads((collect.ONNX_MODELS / said["model"] / "card.json").read_text())
    wanted = next(c for c in card["outputs"][0]["classes"] if c["role"] == "other")
    say(pacs, report, Decision.ACCEPT, 8)
    out = tmp_path / "out"
    collect.main(["--from", pacs.url, "--out", str(out), "--key", str(tmp_path / "key")])
    monkeypatch.setenv("CHEST_AI_DATA", str(out))
    (film,) = cxr.read_films()
    assert cxr.CLASSES[film.label] == said["called"]
    picture = cxr.read_picture(film.path)
    assert max(picture.shape) == 400
    assert picture.std() > 20
    say(pacs, report, Decision.MODIFY, 9, correction=Correction(meaning=wanted["meaning"]))
    collect.main(["--from", pacs.url, "--out", str(out), "--key", str(tmp_path / "key")])
    (again,) = cxr.read_films()
    assert cxr.CLASSES[again.label] == wanted["name"]
    assert (again.path, again.patient) == (film.path, film.patient)
    with (out / "cxr_sites" / "manifest.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["source"] == "site"
    assert json.loads((out / "corrections.json").read_text())["cases"] == {"films": 1, "volumes": 0}


def test_pseudonyms_need_the_key(tmp_path: Path) -> None:
    names = Pseudonyms(tmp_path / "key")
    assert names.of("patient", "1") == Pseudonyms(tmp_path / "key").of("patient", "1")
    assert names.of("patient", "1") not in (names.of("patient", "2"), names.of("series", "1"))
    assert names.of("patient", "1") != Pseudonyms(tmp_path / "other").of("patient", "1")
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0


def test_the_last_word_on_each_report_counts() -> None:
    words = [
        Word(assessed=uid, decision=decision, corrected=None, moment=moment)
        for uid, decision, moment in (
            ("1", Decision.REJECT, "20240518090000"),
            ("2", Decision.ACCEPT, "20240518080000"),
            ("1", Decision.ACCEPT, "20240517090000"),
        )
    ]
    assert {word.assessed: word.decision for word in latest(words)} == {
        "1": Decision.REJECT,
        "2": Decision.ACCEPT,
    }


def test_an_address_is_http(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no http or https address"):
        Archive(f"file://{tmp_path}")


@pytest.mark.parametrize("kind", ["LABELMAP", "BINARY"])
@pytest.mark.parametrize("orientation", ["supine", "columns flipped"])
def test_findings_are_told_by_their_label_where_a_viewer_changed_the_codes(
    kind: str, orientation: str
) -> None:
    """OHIF 3.12 gives every segment the type Tissue, and keeps the label."""
    source = volume(WHERE, orientation)
    clear = CORRECTED & (RIGHT | LEFT)
    masks = {"Right lung": RIGHT & ~clear, "Left lung": LEFT & ~clear, "Opacities in the lungs": clear}
    stored = {label: np.stack([source.to_frame(plane) for plane in mask]) for label, mask in masks.items()}
    made = exported(stored, kind, source)
    assert findings_in(made) == [3]
    np.testing.assert_array_equal(lesions(source, made), clear)


def test_what_somebody_marked_besides_is_no_finding() -> None:
    made = exported({"Aorta": RIGHT})
    assert findings_in(made) == []
    with pytest.raises(LeftOut, match="no segment of the findings"):
        lesions(volume(WHERE), made)
