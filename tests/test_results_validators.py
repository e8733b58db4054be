"""Every kind of result, from clean and from dirty sources, through dciodvfy and dicom-validator."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_tables import dicom_info
from dicom_validator.validator.dicom_file_validator import DicomFileValidator
from dicom_validator.validator.validation_result import Status, ValidationResult
from pydicom.dataset import Dataset
from pydicom.uid import ComputedRadiographyImageStorage
from results_factory import (
    IDENTITY,
    LABEL,
    attention_for,
    ct_findings,
    grid,
    header,
    lungs_on,
    measurements,
    regions_of,
    three_classifiers,
    volume,
    with_margin,
    xray,
    xray_findings,
)
from test_results_pdf import HISTORY

from plugin.dicom.imaging import Instance
from plugin.domain.findings import Findings, Remark, Severity
from plugin.results.capture import build_attention
from plugin.results.common import SeriesLabel
from plugin.results.key_images import build_key_images
from plugin.results.pdf.ct import CtMaterial
from plugin.results.pdf.report import build_pdf
from plugin.results.pdf.xray import XrayMaterial
from plugin.results.seg.segmentation import build_seg
from plugin.results.sr.regions import NOWHERE, xray_regions
from plugin.results.sr.report import ReportType, build_sr

DIRTY: dict[str, object] = {
    "PatientBirthDate": "1960.01.02",
    "StudyDate": "",
    "StudyTime": "25:99",
    "PatientAge": "sixty",
    "PatientSex": "female",
    "StudyDescription": "x" * 90,
    "AccessionNumber": "0123456789ABCDEFGHIJ",
    # In ASCII: dciodvfy counts the 64 characters of a component group in bytes.
    "PatientName": "Mueller-Luedenscheidt, Eleonore Adelheid Friederike Wilhelmine von und zu",
    "ReferringPhysicianName": None,
    "StudyID": None,
    "PatientID": "",
    "Manufacturer": "",
    "PatientIdentityRemoved": "YES",
}
REJECTION = Remark(code="XRAY_LATERAL", severity=Severity.REJECT, message="A lateral view.")
WARNING = Remark(code="CT_THICK_SLICES", severity=Severity.WARN, message="Slices are 5 mm thick.")


def ct_results(
    kind: str, dirty: bool, segmentation_type: str = "BINARY", report_type: ReportType = "COMPREHENSIVE"
) -> dict[str, Dataset | None]:
    where = grid(slices=8)
    with pydicom.config.disable_value_validation():
        source = volume(where, "columns flipped", **(DIRTY if dirty else {}))
    lungs, mask = lungs_on(where)
    findings = {
        "usual": ct_findings((WARNING,)),
        "clear": replace(ct_findings(), lungs=measurements((2000.0, 0.0), (1800.0, 0.0))),
        "no lungs": replace(ct_findings(), lungs=None),
        "three classifiers": three_classifiers(),
        "margin": ct_findings(lungs=with_margin()),
    }[kind]
    if kind in {"clear", "no lungs"}:
        mask = mask & False
    if kind == "no lungs":
        lungs = lungs * 0
    common = {"findings": findings, "identity": IDENTITY, "label": LABEL}
    seg = build_seg(
        volume=source,
        lungs=lungs,
        findings_mask=mask,
        segmentation_type=segmentation_type,  # type: ignore[arg-type]
        **common,  # type: ignore[arg-type]
    )
    material = CtMaterial(volume=source, lungs=lungs, findings=mask)
    history = HISTORY if kind == "usual" else ()
    said = {"sources": source.sources, "history": history} | common
    pdf = build_pdf(material=material, **said)  # type: ignore[arg-type]
    regions = regions_of(volume=source, lungs=lungs, findings_mask=mask)
    key = build_key_images(regions=regions, sources=source.sources, **common)  # type: ignore[arg-type]
    made = (("seg", seg), ("pdf", pdf), ("key_images", key))
    related = {kind: ds for kind, ds in made if ds is not None}
    report = build_sr(related=related, regions=regions, report_type=report_type, **said)  # type: ignore[arg-type]
    return {"sr": report, **related}


def xray_results(
    dirty: bool, *, located: bool = False, report_type: ReportType = "COMPREHENSIVE", **attributes: object
) -> dict[str, Dataset | None]:
    with pydicom.config.disable_value_validation():
        image = xray(**((DIRTY if dirty else {}) | attributes))
    label = SeriesLabel(software_version="0.1.0", language="pt", institution="Hospital São José")
    common = {"findings": xray_findings(), "identity": IDENTITY, "label": label}
    looked = attention_for(image)
    related = {
        "pdf": build_pdf(
            sources=[image.source],
            material=XrayMaterial(image=image, attention=looked),
            **common,  # type: ignore[arg-type]
        ),
        "attention": build_attention(image=image, attention=looked, **common),  # type: ignore[arg-type]
    }
    key = build_key_images(sources=[image.source], regions=NOWHERE, **common)  # type: ignore[arg-type]
    assert key is not None
    related["key_images"] = key
    regions = (
        xray_regions(image=image, shades=np.where(looked.shades > 0.1, looked.shades, 0))
        if located
        else NOWHERE
    )
    report = build_sr(
        sources=[image.source],
        related=related,
        regions=regions,
        report_type=report_type,
        **common,  # type: ignore[arg-type]
    )
    return {"sr": report, **related}


def rejection() -> dict[str, Dataset | None]:
    source = Instance(instance_id="a", header=header(), has_pixels=True)
    findings = Findings(modality="xray", remarks=(REJECTION,))
    return {"sr": build_sr(findings=findings, sources=[source], identity=IDENTITY, label=LABEL)}


CASES: dict[str, Callable[[], dict[str, Dataset | None]]] = {
    "ct": lambda: ct_results("usual", False),
    "ct, dirty": lambda: ct_results("usual", True),
    "ct without findings": lambda: ct_results("clear", False),
    "ct without lungs": lambda: ct_results("no lungs", False),
    "ct as Comprehensive 3D SR": lambda: ct_results("usual", False, report_type="COMPREHENSIVE_3D"),
    "ct with a margin of error": lambda: ct_results("margin", False),
    "ct with three classifiers": lambda: ct_results("three classifiers", False),
    "x-ray": lambda: xray_results(False),
    "x-ray, dirty": lambda: xray_results(True),
    "x-ray with regions": lambda: xray_results(False, located=True),
    "x-ray with regions, Comprehensive 3D SR": lambda: xray_results(
        False, located=True, report_type="COMPREHENSIVE_3D"
    ),
    "CR without orientation": lambda: xray_results(
        False, SOPClassUID=ComputedRadiographyImageStorage, Modality="CR", PatientOrientation=None
    ),
    "rejected": rejection,
}


def known_warnings() -> list[re.Pattern[str]]:
    lines = Path(__file__).with_name("warnings_dciodvfy.txt").read_text().splitlines()
    entries = [line.split("\t") for line in lines if line and not line.startswith("#")]
    assert all(len(entry) == 2 and len(entry[1]) > 20 for entry in entries), "each needs its reason"
    return [re.compile(pattern) for pattern, _ in entries]


def validated(path: Path) -> ValidationResult:
    return DicomFileValidator(dicom_info()).validate(path)[str(path)]


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dciodvfy (Debian: dicom3tools)")
@pytest.mark.parametrize("case", CASES)
def test_dciodvfy_has_no_errors_and_only_known_warnings(case: str, tmp_path: Path) -> None:
    known = known_warnings()
    for kind, ds in CASES[case]().items():
        if ds is None:
            continue
        path = tmp_path / f"{kind}.dcm"
        ds.save_as(path, enforce_file_format=True)
        done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
        for line in done.stderr.splitlines():
            assert not re.match(r"(Error|Abort)", line), f"{kind}: {line}"
            if line.startswith("Warning - "):
                assert any(p.fullmatch(line[len("Warning - ") :]) for p in known), f"{kind}: {line}"
        assert done.stderr.strip(), "dciodvfy names the IOD that it recognised"


@pytest.mark.parametrize("case", CASES)
def test_dicom_validator_has_no_errors(case: str, tmp_path: Path) -> None:
    for kind, ds in CASES[case]().items():
        if ds is None:
            continue
        path = tmp_path / f"{kind}.dcm"
        ds.save_as(path, enforce_file_format=True)
        result = validated(path)
        assert (result.status, dict(result.module_errors)) == (Status.Passed, {}), kind


@pytest.mark.parametrize("kind", ["LABELMAP", "BINARY_DEFLATED"])
def test_dicom_validator_has_no_errors_on_other_segmentations(kind: str, tmp_path: Path) -> None:
    ds = ct_results("usual", False, kind)["seg"]
    assert ds is not None
    path = tmp_path / "seg.dcm"
    ds.save_as(path, enforce_file_format=True)
    result = validated(path)
    assert (result.status, dict(result.module_errors)) == (Status.Passed, {})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda ds: delattr(ds, "StudyInstanceUID"),
        lambda ds: delattr(ds, "PatientName"),
        lambda ds: setattr(ds, "PatientBirthDate", "not a date"),
        lambda ds: setattr(ds, "EchoTime", 3.0),
    ],
    ids=["type 1 missing", "type 2 missing", "value against its VR", "attribute of another IOD"],
)
def test_the_validator_sees_what_is_wrong(spoil: Callable[[Dataset], None], tmp_path: Path) -> None:
    ds = xray_results(False)["pdf"]
    assert ds is not None
    path = tmp_path / "spoilt.dcm"
    with pydicom.config.disable_value_validation():
        spoil(ds)
        ds.save_as(path, enforce_file_format=True)
    assert validated(path).module_errors
