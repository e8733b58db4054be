"""The results through the readers of dcmqi, on which 3D Slicer's import of SEG and SR rests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from pydicom.dataset import Dataset
from results_factory import (
    IDENTITY,
    LABEL,
    algorithm,
    ct_findings,
    grid,
    lungs_on,
    measurements,
    regions_of,
    volume,
    xray,
    xray_findings,
)
from test_results_validators import REJECTION

from plugin.dicom.imaging import CtVolume
from plugin.domain.findings import Algorithm, Findings
from plugin.results.provenance import in_words, parameters
from plugin.results.seg.segmentation import SegmentationType, build_seg
from plugin.results.sr.regions import xray_regions
from plugin.results.sr.report import ReportType, build_sr

_PLACES = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
SEG_READER, SR_READER = (shutil.which(name, path=_PLACES) for name in ("segimage2itkimage", "tid1500reader"))
pytestmark = pytest.mark.skipif(
    not (SEG_READER and SR_READER), reason="needs dcmqi's readers (PyPI: dcmqi, for x86-64 and ARM Linux)"
)


def ct() -> tuple[CtVolume, np.ndarray, np.ndarray]:
    where = grid(slices=8)
    return volume(where, "columns flipped"), *lungs_on(where)


def segmentation(kind: SegmentationType) -> Dataset:
    source, lungs, mask = ct()
    seg = build_seg(
        volume=source,
        lungs=lungs,
        findings_mask=mask,
        findings=ct_findings(),
        identity=IDENTITY,
        label=LABEL,
        segmentation_type=kind,
    )
    assert seg is not None
    return seg


def run(reader: str | None, ds: Dataset, folder: Path, *options: str) -> None:
    file = folder / "result.dcm"
    ds.save_as(file, enforce_file_format=True)
    assert reader is not None
    command = [reader, "--inputDICOM", str(file), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ERROR" not in (done.stdout + done.stderr).upper(), done.stdout + done.stderr


def told_of(report: Dataset, folder: Path) -> dict[str, Any]:
    """What tid1500reader keeps of a report."""
    run(SR_READER, report, folder, "--outputMetadata", str(folder / "told.json"))
    told: dict[str, Any] = json.loads((folder / "told.json").read_text())
    return told


def algorithms(told: dict[str, Any]) -> set[tuple[str, str, tuple[str, ...]]]:
    """Name, version and parameters of the algorithm of each group."""
    found = (group["measurementAlgorithmIdentification"] for group in told["Measurements"])
    return {(a["AlgorithmName"], a["AlgorithmVersion"], tuple(a["AlgorithmParameters"])) for a in found}


def as_read(algorithm_: Algorithm, **further: str) -> tuple[str, str, tuple[str, ...]]:
    return (algorithm_.name, algorithm_.version, (in_words(parameters(algorithm_) | further),))


@pytest.mark.parametrize("kind", ["BINARY", "BINARY_DEFLATED", "LABELMAP"])
def test_every_segment_is_read_where_it_is(kind: SegmentationType, tmp_path: Path) -> None:
    """Its voxels, its place in the patient, its side; a label map leaves the opacities out of the lungs."""
    run(SEG_READER, segmentation(kind), tmp_path, "--outputDirectory", str(tmp_path), "-t", "nrrd")
    meta = json.loads((tmp_path / "meta.json").read_text())
    attributes = {a["SegmentLabel"]: a for part in meta["segmentAttributes"] for a in part}
    images = [SimpleITK.ReadImage(str(file)) for file in sorted(tmp_path.glob("*.nrrd"))]
    _, lungs, mask = ct()
    found = mask & (lungs > 0)
    overlapping = kind != "LABELMAP"
    suffix = "" if overlapping else " outside the opacities"
    wanted = {
        f"Right lung{suffix}": (lungs == 1) if overlapping else (lungs == 1) & ~found,
        f"Left lung{suffix}": (lungs == 2) if overlapping else (lungs == 2) & ~found,
        "Opacities in the lungs": found,
    }
    assert set(attributes) == set(wanted)
    for image_number, (label, expected) in enumerate(wanted.items()):
        said = attributes[label]
        assert said["SegmentAlgorithmName"] == ct_findings().lungs.algorithm.name  # type: ignore[union-attr]
        assert said["TrackingUniqueIdentifier"].startswith("2.25.")
        if "lung" in label and "Opacities" not in label:
            side = said["SegmentedPropertyTypeModifierCodeSequence"]["CodeMeaning"]
            assert label.startswith(side)
        image = images[image_number if overlapping else 0]
        values = SimpleITK.GetArrayFromImage(image)
        voxels = values > 0 if overlapping else values == said["labelID"]
        assert voxels.sum() == expected.sum(), label
        indices = np.argwhere(voxels).mean(axis=0)[::-1]
        centre = image.TransformContinuousIndexToPhysicalPoint([float(i) for i in indices])
        np.testing.assert_allclose(centre, _centre(expected), atol=0.01)


def _centre(mask: np.ndarray) -> np.ndarray:
    """The middle of a canonical mask in the patient, (x, y, z) in mm."""
    where = grid(slices=len(mask))
    k, row, column = np.argwhere(mask).mean(axis=0)
    axes = ((where.x, column), (where.y, row), (where.z, k))
    return np.array([np.interp(at, np.arange(len(axis)), axis) for axis, at in axes])


@pytest.mark.parametrize("report_type", ["COMPREHENSIVE", "COMPREHENSIVE_3D"])
def test_every_group_of_a_ct_keeps_its_algorithm_and_its_numbers(
    report_type: ReportType, tmp_path: Path
) -> None:
    source, lungs, mask = ct()
    findings = ct_findings()
    told = told_of(
        build_sr(
            findings=findings,
            sources=source.sources,
            identity=IDENTITY,
            label=LABEL,
            related={"seg": segmentation("BINARY")},
            regions=regions_of(volume=source, lungs=lungs, findings_mask=mask),
            report_type=report_type,
        ),
        tmp_path,
    )
    assert findings.lungs is not None
    assert algorithms(told) == {
        *(as_read(c.algorithm, projection=str(c.projection)) for c in findings.classifications),
        as_read(findings.lungs.algorithm),
    }
    numbers = _numbers(told["Measurements"])
    said = measurements()
    for side, lung in (("Right", said.right), ("Left", said.left)):
        assert numbers[f"{side} lung", "Volume"] == pytest.approx(lung.volume_ml)
        assert numbers[f"{side} lung", "Volume of findings in lung"] == pytest.approx(lung.findings_ml)
    for c in findings.classifications:
        name = next(key for key, what in numbers if c.algorithm.name in key and what == "Probability")
        assert numbers[name, "Probability"] == pytest.approx(c.finding.probability)


def _numbers(groups: Sequence[dict[str, Any]]) -> dict[tuple[str, str], float]:
    return {
        (group["TrackingIdentifier"], item["quantity"]["CodeMeaning"]): float(item["value"])
        for group in groups
        for item in group["measurementItems"]
    }


def test_a_film_with_regions_and_a_rejected_one(tmp_path: Path) -> None:
    image = xray()
    shades = np.zeros(image.pixels.shape, np.float32)
    shades[300:400, 80:180] = 0.4
    common: dict[str, Any] = {"sources": [image.source], "identity": IDENTITY, "label": LABEL}
    regions = xray_regions(image=image, shades=shades)
    findings = xray_findings()
    called = told_of(build_sr(findings=findings, regions=regions, **common), tmp_path)
    said, region = called["Measurements"]
    assert _numbers([said])
    (classifier,) = findings.classifications
    rule = LABEL.texts("sr.region_rule")
    assert algorithms({"Measurements": [said]}) == {as_read(classifier.algorithm, projection="xray")}
    assert algorithms({"Measurements": [region]}) == {as_read(classifier.algorithm, region=rule)}
    screener = algorithm("screener", (("REJECTION", 0.4),))
    rejected = Findings(modality="xray", remarks=(REJECTION,), screening=screener)
    told = told_of(build_sr(findings=rejected, **common), tmp_path)
    assert algorithms(told) == {as_read(screener)}
