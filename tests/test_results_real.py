"""Results made from real images, where they are at hand."""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from results_factory import IDENTITY, LABEL, ct_findings, measurements, regions_of, xray_findings

from plugin.analysis.attention import AttentionMap
from plugin.dicom.imaging import read_ct, read_instances, read_xray
from plugin.results.capture import build_attention
from plugin.results.pdf.material import CtMaterial
from plugin.results.pdf.report import build_pdf
from plugin.results.pdf.xray import XrayMaterial
from plugin.results.seg.segmentation import build_seg
from plugin.results.sr.report import build_sr

AIR = -600


class Files:
    """A series as files."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.instance_ids = [str(path) for path in paths]

    def read(self, instance_id: str) -> bytes:
        """One file."""
        return Path(instance_id).read_bytes()


def checked(ds: Dataset | None, folder: Path) -> Dataset:
    """The result written and read back, without an error of dciodvfy where that is installed."""
    assert ds is not None
    path = folder / "result.dcm"
    ds.save_as(path, enforce_file_format=True)
    if shutil.which("dciodvfy"):
        done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
        assert not [line for line in done.stderr.splitlines() if line.startswith("Error")]
    return pydicom.dcmread(io.BytesIO(path.read_bytes()))


def test_a_real_ct(data: Path, tmp_path: Path) -> None:
    """Every frame of the SEG equals the air in the very image it refers to, decoded anew."""
    source = Files(sorted((data / "dicom" / "lidc_idri_0001").glob("*.dcm"))[30:70])
    volume = read_ct(source, read_instances(source), min_hu_range=0)
    lungs = np.where(np.arange(volume.hu.shape[2]) < 256, 1, 2).astype(np.uint8) * (volume.hu < AIR)
    findings = volume.hu < -950
    common = {"findings": ct_findings(lungs=measurements()), "identity": IDENTITY, "label": LABEL}
    seg = build_seg(volume=volume, lungs=lungs, findings_mask=findings, **common)  # type: ignore[arg-type]
    read = checked(seg, tmp_path)
    images = {i.header.SOPInstanceUID: Path(i.instance_id) for i in volume.sources}
    frames = read.pixel_array
    assert len(frames) == 3 * 40
    for frame, groups in list(zip(frames, read.PerFrameFunctionalGroupsSequence, strict=True))[::7]:
        uid = groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        image = pydicom.dcmread(images[uid])
        hu = image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept)
        columns = np.arange(512)
        wanted = {
            1: (hu < AIR) & (columns < 256),
            2: (hu < AIR) & (columns >= 256),
            3: hu < -950,
        }[groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber]
        # In this series the columns run to the patient's left, so that the right lung comes first.
        assert list(image.ImageOrientationPatient[:3]) == [1, 0, 0]
        np.testing.assert_array_equal(frame.astype(bool), wanted)
        assert list(groups.PlanePositionSequence[0].ImagePositionPatient) == list(image.ImagePositionPatient)
    said = {"sources": volume.sources} | common
    regions = regions_of(volume=volume, lungs=lungs, findings_mask=findings)
    checked(build_sr(related={"seg": seg}, regions=regions, **said), tmp_path)  # type: ignore[arg-type]
    material = CtMaterial(volume=volume, lungs=lungs, findings=findings)
    checked(build_pdf(material=material, **said), tmp_path)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["RG1_J2KI", "966_fixed"])
def test_a_real_xray(name: str, data: Path, tmp_path: Path) -> None:
    """All results of an X-ray are valid and in its study."""
    source = Files([data / "dicom" / "odd" / "cxr_frontal" / f"{name}.dcm"])
    instance = read_instances(source)[0]
    image = read_xray(source, instance)
    shades = np.linspace(0, 1, image.pixels.size, dtype=np.float32).reshape(image.pixels.shape)
    looked = AttentionMap(shades=shades, outside=0.0)
    common = {"findings": xray_findings(), "identity": IDENTITY, "label": LABEL}
    said = {"sources": [instance]} | common
    for ds in (
        build_sr(**said),  # type: ignore[arg-type]
        build_pdf(material=XrayMaterial(image=image, attention=looked), **said),  # type: ignore[arg-type]
        build_attention(image=image, attention=looked, **common),  # type: ignore[arg-type]
    ):
        result = checked(ds, tmp_path)
        assert result.StudyInstanceUID == instance.header.StudyInstanceUID
        assert result.PatientID == instance.header.PatientID
