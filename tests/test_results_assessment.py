"""A physician's word as a Structured Report: what it says, and that validators and readers take it."""

from __future__ import annotations

import copy
import io
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import highdicom as hd
import pydicom
import pytest
from pydicom.dataset import Dataset
from results_factory import LABEL
from test_results_pixelmed import JAR, errors, unexplained
from test_results_validators import CASES

from plugin.domain.assessment import Decision
from plugin.domain.codes import Code
from plugin.results.common import SeriesLabel
from plugin.results.sr.assessment import ASSESSED, ASSESSMENT, Correction, Observer, build_assessment
from plugin.screening.gate import is_own_result, modality_of

MOMENT = datetime(2024, 5, 18, 8, 15, 30)
MARY = Observer(name="Silva^Mary", organization="Hospital São José", verified=True)
ASKED = Observer(name="Somebody^Else", organization="", verified=False)
PORTUGUESE = SeriesLabel(software_version="0.2.0", language="pt", institution="Hospital São José")


def report(case: str = "ct") -> Dataset:
    ds = CASES[case]()["sr"]
    assert ds is not None
    return ds


def word(case: str = "ct", observer: Observer = MARY, label: SeriesLabel = LABEL, **said: object) -> Dataset:
    what = {"decision": Decision.ACCEPT} | said
    return build_assessment(
        report=report(case),
        observer=observer,
        moment=MOMENT,
        label=label,
        series_number=9906,
        made_by="orthanc-chest-ai 0.1.0: ct-axial 1.2.0",
        **what,  # type: ignore[arg-type]
    )


WORDS = {
    "accepted": word,
    "rejected, in Portuguese": lambda: word(
        "x-ray", label=PORTUGUESE, decision=Decision.REJECT, text="Artefato: não é opacidade.\nRepetir."
    ),
    "modified, unverified": lambda: word(
        "x-ray",
        observer=ASKED,
        decision=Decision.MODIFY,
        correction=Correction(
            meaning="Abnormal opacity", code=Code(value="112033", scheme="DCM", meaning="Abnormal opacity")
        ),
    ),
    "modified, to a class of our own, of a replaced word": lambda: word(
        decision=Decision.MODIFY,
        correction=Correction(meaning="No opacities of a pneumonia as in COVID-19"),
        text="x" * 2000,
        predecessors=[word()],
    ),
    "on a rejected series": lambda: word("rejected", decision=Decision.REJECT, text="It is a chest."),
}


def stored(ds: Dataset) -> Dataset:
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return pydicom.dcmread(io.BytesIO(buffer.getvalue()))


def said(ds: Dataset) -> list[tuple[str, str]]:
    """Names and values of the codes and texts, in their order."""
    found = []
    for item in stored(ds).iterall():
        if item.keyword != "ContentSequence":
            continue
        for content in item.value:
            name = (
                content.ConceptNameCodeSequence[0].CodeMeaning if "ConceptNameCodeSequence" in content else ""
            )
            if content.ValueType == "CODE":
                found.append((name, content.ConceptCodeSequence[0].CodeMeaning))
            elif content.ValueType in ("TEXT", "PNAME"):
                found.append((name, str(content.get("TextValue") or content.get("PersonName"))))
    return found


def test_who_says_what_of_which_result() -> None:
    ds = stored(WORDS["modified, to a class of our own, of a replaced word"]())
    source = report()
    values = said(ds)
    assert ("Person Observer Name", "Silva^Mary") in values
    assert ("Physician's assessment of the result", "Modified") in values
    assert ("Class that the physician finds", "No opacities of a pneumonia as in COVID-19") in values
    assert ("Comment", "This is about a result of orthanc-chest-ai 0.1.0: ct-axial 1.2.0.") in values
    (reference,) = (item for item in ds.ContentSequence if item.ValueType == "COMPOSITE")
    assert reference.ConceptNameCodeSequence[0].CodeMeaning == ASSESSED.meaning
    assert reference.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    evidence = ds.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert evidence.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    predecessor = ds.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert predecessor.ReferencedSOPClassUID == ds.SOPClassUID
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "AccessionNumber"):
        assert ds[keyword].value == source[keyword].value
    assert (ds.ContentDate, ds.ContentTime, ds.SeriesNumber) == ("20240518", "081530", 9906)


def test_only_whoever_is_known_verifies() -> None:
    (verifier,) = word().VerifyingObserverSequence
    assert word().VerificationFlag == "VERIFIED"
    assert (verifier.VerifyingObserverName, verifier.VerifyingOrganization) == (
        "Silva^Mary",
        "Hospital São José",
    )
    assert str(verifier.VerificationDateTime) == "20240518081530"
    unknown = word(observer=ASKED)
    assert unknown.VerificationFlag == "UNVERIFIED"
    assert "VerifyingObserverSequence" not in unknown


def test_it_is_neither_a_result_of_the_software_nor_an_image_to_read() -> None:
    """The software clears its own results away; a physician's word is not its own."""
    ds = stored(word())
    assert not is_own_result(ds)
    assert modality_of(ds) is None


def test_the_assessed_report_stays_as_it_is_and_every_word_is_an_object_of_its_own() -> None:
    before = report()
    as_it_was = copy.deepcopy(before)
    one = build_assessment(
        report=before,
        decision=Decision.ACCEPT,
        observer=MARY,
        moment=MOMENT,
        label=LABEL,
        series_number=9906,
    )
    assert before == as_it_was
    assert one.SOPInstanceUID != word().SOPInstanceUID
    assert one.SeriesInstanceUID not in (before.SeriesInstanceUID, word().SeriesInstanceUID)


@pytest.mark.parametrize("kind", WORDS)
def test_highdicom_reads_it(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "sr.dcm"
    WORDS[kind]().save_as(file, enforce_file_format=True)
    read = hd.sr.srread(file)
    assert isinstance(read, hd.sr.ComprehensiveSR)
    assert isinstance(read.content, hd.sr.MeasurementReport)
    (group,) = read.content.get_image_measurement_groups()
    assert group.get_qualitative_evaluations(name=ASSESSMENT)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dicom3tools")
@pytest.mark.parametrize("kind", WORDS)
def test_dciodvfy_finds_nothing(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "sr.dcm"
    WORDS[kind]().save_as(file, enforce_file_format=True)
    done = subprocess.run(["dciodvfy", "-new", str(file)], check=False, capture_output=True, text=True)
    assert [line for line in done.stderr.splitlines() if line.startswith("Error")] == []


@pytest.mark.skipif(
    not JAR.exists() or shutil.which("java") is None,
    reason="needs PixelMed's validator (Debian: pixelmed-apps, default-jre-headless)",
)
@pytest.mark.parametrize("kind", WORDS)
def test_pixelmed_finds_nothing_that_its_tables_do_not_lack(kind: str, tmp_path: Path) -> None:
    assert unexplained(errors(WORDS[kind](), tmp_path)) == []


def test_times_are_in_the_zone_that_the_report_names() -> None:
    of = report()
    of.TimezoneOffsetFromUTC = "-0300"
    ds = build_assessment(
        report=of,
        decision=Decision.ACCEPT,
        observer=MARY,
        moment=datetime(2024, 5, 18, 1, 15, 30, tzinfo=UTC),
        label=LABEL,
        series_number=9906,
    )
    assert ds.TimezoneOffsetFromUTC == "-0300"
    assert (ds.ContentDate, ds.ContentTime) == ("20240517", "221530")
    assert ds.VerifyingObserverSequence[0].VerificationDateTime == "20240517221530"
