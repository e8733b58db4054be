"""The Structured Reports through PixelMed's validator of SR templates, beside a control of highdicom alone.

The validator's tables are those of Debian's package, of 2022. What it finds amiss in :func:`control`, a
report with the same templates and nothing of ours in it, is what the tables lack.
"""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import highdicom as hd
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from results_factory import IDENTITY, LABEL, ct_findings, grid, lungs_on, volume
from test_results_validators import CASES

from plugin.domain.kinds import Modality
from plugin.results import concepts
from plugin.results.common import reference_header
from plugin.results.seg.segmentation import build_seg

JAR = Path("/usr/share/java/pixelmed.jar")
pytestmark = pytest.mark.skipif(
    not JAR.exists() or shutil.which("java") is None,
    reason="needs PixelMed's validator (Debian: pixelmed-apps, default-jre-headless)",
)

#: Java's limits on XPath expressions, which the validator's style sheets exceed.
LIMITS = [f"-Djdk.xml.xpath{name}Limit=0" for name in ("TotalOp", "ExprOp", "ExprGrp")]

PROCEDURE = r".*CODE \(121058,DCM,\"Procedure reported\"\).* not found in context group 100"
CHEST = (
    r".*\(123014,DCM,\"Target Region\"\).*Code \(816094009,SCT,\"Chest\"\) not found in context group 4031"
)
GROUPS = r".*Template 141[01] .*Missing conditional content item"
PROPERTIES = (
    r".*Template 1419 ROIMeasurements/\[Row 5\] NUM \*/\[Row 1[34]\] NUM \*.*measurement uncertainty\"\): "
    r"Incorrect relationship - expected INFERRED FROM - found HAS PROPERTIES"
)
ARTEFACTS = (PROCEDURE, CHEST, GROUPS, PROPERTIES)
"""Errors of the tables: CID 100 is a baseline, which the standard lets a site extend; (816094009, SCT) came
to CID 4031 later; a group of TID 1501 is measured by the rules of TID 1410 or 1411, whose names it shares;
rows 13 and 14 of TID 1419 are of any number, and so are taken for those of TID 310, which row 12 includes."""

KNOWN_INTERNAL = "Concept Name CID is empty or missing"
"""Said of TID 1420, whose context group 7465 the package does not have."""


QUICK = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""A validation is over before a JVM's better code would pay."""


def errors(ds: Dataset, folder: Path) -> list[str]:
    """What the validator calls an error in a dataset, each in one line."""
    file = folder / "sr.dcm"
    ds.save_as(file, enforce_file_format=True)
    command = ["java", *QUICK, *LIMITS, "-cp", str(JAR), "com.pixelmed.validate.DicomSRValidator", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert "Found Root Template TID_1500" in done.stdout, done.stdout + done.stderr
    assert "IOD validation complete" in done.stdout, done.stdout + done.stderr
    if "Internal Error" in done.stdout:
        assert KNOWN_INTERNAL in done.stdout
    return [line for line in done.stdout.splitlines() if line.startswith("Error")]


def control() -> Dataset:
    """A report of highdicom's own with the standard's codes: one group of TID 1501, one of TID 1411."""
    where = grid(slices=8)
    source = volume(where)
    lungs, mask = lungs_on(where)
    seg = build_seg(
        volume=source,
        lungs=lungs,
        findings_mask=mask,
        findings=ct_findings(),
        identity=IDENTITY,
        label=LABEL,
    )
    assert seg is not None
    references = [reference_header(instance.header) for instance in source.sources]
    device = hd.sr.DeviceObserverIdentifyingAttributes(uid="1.2.3", name="control")
    observer = hd.sr.ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    volume_measured = hd.sr.Measurement(
        name=codes.SCT.Volume,
        value=1.0,
        unit=codes.UCUM.CubicCentimeter,
        properties=hd.sr.MeasurementProperties(
            upper_measurement_uncertainty=0.5, lower_measurement_uncertainty=0.5
        ),
    )
    segment = hd.sr.ReferencedSegment.from_segmentation(seg, segment_number=1)
    report = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=observer),
        procedure_reported=concepts.PROCEDURE[Modality.CT],
        imaging_measurements=[
            hd.sr.MeasurementsAndQualitativeEvaluations(
                tracking_identifier=hd.sr.TrackingIdentifier("1.2.3.4", "one"),
                finding_type=codes.SCT.Lung,
                measurements=[volume_measured],
            ),
            hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
                tracking_identifier=hd.sr.TrackingIdentifier("1.2.3.5", "two"),
                referenced_segment=segment,
                finding_type=codes.SCT.Lung,
                measurements=[volume_measured],
            ),
        ],
        referenced_images=references,
    )
    return hd.sr.ComprehensiveSR(
        evidence=[*references, seg],
        content=report,
        series_instance_uid="1.2.3.6",
        series_number=1,
        sop_instance_uid="1.2.3.7",
        instance_number=1,
        manufacturer="control",
    )


def unexplained(found: list[str]) -> list[str]:
    return [line for line in found if not any(re.fullmatch(f"Error: {kind}", line) for kind in ARTEFACTS)]


@pytest.mark.parametrize(
    "case",
    ["ct", "ct with a margin of error", "ct without findings", "x-ray", "x-ray with regions", "rejected"],
)
def test_pixelmed_finds_nothing_that_its_tables_do_not_lack(case: str, tmp_path: Path) -> None:
    ds = CASES[case]()["sr"]
    assert ds is not None
    assert unexplained(errors(ds, tmp_path)) == []


def test_the_control_shows_the_same(tmp_path: Path) -> None:
    found = errors(control(), tmp_path)
    assert found
    assert unexplained(found) == []
    for kind in (PROCEDURE, GROUPS, PROPERTIES):
        assert any(re.fullmatch(f"Error: {kind}", line) for line in found), kind


def test_the_chest_is_in_the_context_group_of_today() -> None:
    assert codes.cid4031.Chest == concepts.CHEST


def _wrong_relationship(ds: Dataset) -> None:
    ds.ContentSequence[-1].RelationshipType = "INFERRED FROM"


def _unknown_language(ds: Dataset) -> None:
    ds.ContentSequence[0].ConceptCodeSequence[0].CodeValue = "xx-yy"


@pytest.mark.parametrize("spoil", [_wrong_relationship, _unknown_language])
def test_pixelmed_sees_what_is_wrong(spoil: Callable[[Dataset], None], tmp_path: Path) -> None:
    ds = copy.deepcopy(CASES["x-ray"]()["sr"])
    assert ds is not None
    spoil(ds)
    assert unexplained(errors(ds, tmp_path))
