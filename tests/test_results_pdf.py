"""The PDF report and the attention map: what they say, in every script, and that nothing overlaps."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from pydicom.dataset import Dataset
from results_factory import (
    IDENTITY,
    LABEL,
    classification,
    ct_findings,
    grid,
    lungs_on,
    measurements,
    volume,
    xray,
    xray_findings,
)

from plugin.imaging import XrayImage
from plugin.results import pictures
from plugin.results.capture import LONGEST_SIDE, build_attention
from plugin.results.common import SeriesLabel
from plugin.results.findings import Findings, Remark, Severity
from plugin.results.pdf import build_pdf
from plugin.results.pdf_ct import CtMaterial, ProjectionAttention
from plugin.results.pdf_xray import XrayMaterial
from plugin.results.summary import Earlier

HISTORY = (
    Earlier(day=date(2024, 4, 1), percent=3.25),
    Earlier(day=date(2024, 5, 2), percent=12.5),
)
needs_poppler = pytest.mark.skipif(shutil.which("pdftotext") is None, reason="needs Poppler's pdftotext")


def material(looked: bool = False) -> CtMaterial:
    where = grid()
    lungs, findings = lungs_on(where)
    picture = np.full((20, 24), 0.5, np.float32)
    seen = ProjectionAttention(
        projection="axial", picture=picture, attention=picture / 2, size=(240.0, 240.0)
    )
    return CtMaterial(
        volume=volume(where), lungs=lungs, findings=findings, attention=(seen,) if looked else ()
    )


def ct_pdf(findings: Findings | None = None, **further: object) -> Dataset:
    shown = material()
    options = {"label": LABEL, "material": shown} | further
    return build_pdf(
        findings=findings or ct_findings(),
        sources=shown.volume.sources,
        identity=IDENTITY,
        **options,  # type: ignore[arg-type]
    )


def attention_for(image: XrayImage) -> npt.NDArray[np.float32]:
    rows, columns = np.indices(image.pixels.shape)
    hill = np.exp(-((rows - 350) ** 2 + (columns - 150) ** 2) / 5000).astype(np.float32)
    hill[:50] = np.nan
    return hill


def xray_pdf(image: XrayImage, label: SeriesLabel = LABEL) -> Dataset:
    return build_pdf(
        findings=xray_findings(),
        sources=[image.source],
        identity=IDENTITY,
        label=label,
        material=XrayMaterial(image=image, attention=attention_for(image)),
    )


def words(ds: Dataset, folder: Path, *options: str) -> str:
    path = folder / "report.pdf"
    path.write_bytes(ds.EncapsulatedDocument)
    done = subprocess.run(
        ["pdftotext", "-layout", *options, str(path), "-"], capture_output=True, text=True, check=True
    )
    return done.stdout


@needs_poppler
def test_a_ct_says_its_numbers(tmp_path: Path) -> None:
    text = words(ct_pdf(history=HISTORY), tmp_path)
    said = measurements()
    assert "Doe, Jane" in text
    assert f"{said.percent:.1f} %" in text
    for lung in (said.left, said.right):
        assert re.search(rf"{lung.volume_ml:.0f} +{lung.findings_ml:.0f} +{lung.percent:.1f} %", text)
    assert "the classifiers disagree (1 of 2 positive)" in " ".join(text.split())
    assert "83 %" in text
    assert "41 %" in text
    assert text.count("positive at 53 % or more") == 2
    assert "2024-05-02" in text
    assert "ct-segmentation 1.2.0" in text
    assert "SHA-256 abababababababab" in text
    assert "Research use, not for clinical use" in text
    assert text.count("\f") == 1


@needs_poppler
def test_names_of_every_script_come_out_right(tmp_path: Path) -> None:
    for name, shown in (
        ("Gonçalves^João Antônio", "Gonçalves, João Antônio"),
        ("Емельянова^Антонина", "Емельянова, Антонина"),
        ("Παπαδόπουλος^Γιώργος", "Παπαδόπουλος, Γιώργος"),
        ("Nguyễn^Thị Ánh", "Nguyễn, Thị Ánh"),
    ):
        image = xray(PatientName=name)
        assert shown in words(xray_pdf(image), tmp_path)


@pytest.mark.parametrize("name", ["Yamada^Tarou=山田^太郎=やまだ^たろう", "حسن^علي", "🫁^x"])
def test_other_scripts_do_not_break_it(name: str) -> None:
    assert xray_pdf(xray(PatientName=name)).EncapsulatedDocument.startswith(b"%PDF-")


@needs_poppler
def test_portuguese(tmp_path: Path) -> None:
    label = SeriesLabel(software_version="0.1.0", language="pt")
    text = words(ct_pdf(label=label), tmp_path)
    assert "Pulmão direito" in text
    assert "8,8 %" in text
    assert "não para uso clínico" in text


def boxes(ds: Dataset, folder: Path) -> list[tuple[float, float, float, float]]:
    """Every word's box in points: left, top, right, bottom."""
    found = re.findall(
        r'<word xMin="([\d.]+)" yMin="([\d.]+)" xMax="([\d.]+)" yMax="([\d.]+)">',
        words(ds, folder, "-bbox"),
    )
    return [(float(a), float(b), float(c), float(d)) for a, b, c, d in found]


def crowded() -> Findings:
    """As much as a page can get: six classifiers, remarks."""
    classifiers = tuple(
        classification(f"ct-{projection}-{kind}", projection, 0.83)
        for kind in ("train", "prod")
        for projection in ("axial", "sagittal")
    )
    remarks = tuple(
        Remark(code=f"R{n}", severity=Severity.WARN, message=f"Remark {n}. " + "Something to know. " * 8)
        for n in range(3)
    )
    return replace(ct_findings(remarks), classifications=classifiers)


@needs_poppler
@pytest.mark.parametrize("language", ["en", "pt"])
@pytest.mark.parametrize("case", ["plain", "full", "crowded", "no lungs"])
def test_no_words_overlap_or_leave_the_page(case: str, language: str, tmp_path: Path) -> None:
    findings = {
        "plain": ct_findings(),
        "full": ct_findings((Remark(code="A", severity=Severity.WARN, message="Thick."),)),
        "crowded": crowded(),
        "no lungs": replace(ct_findings(), lungs=None),
    }[case]
    label = SeriesLabel(software_version="0.1.0", language=language)
    history = () if case in {"plain", "no lungs"} else HISTORY
    ds = ct_pdf(findings, history=history, material=material(looked=True), label=label)
    found = boxes(ds, tmp_path)
    assert len(found) > 60
    for left, top, right, bottom in found:
        assert 0 <= left < right <= 596
        assert 0 <= top < bottom <= 842
    for n, (left, top, right, bottom) in enumerate(found):
        for other in found[n + 1 :]:
            wide = min(right, other[2]) - max(left, other[0])
            # The boxes are as high as the font's line, a third of which is air.
            tall = min(bottom, other[3]) - max(top, other[1])
            assert wide < 0.5 or tall < 0.45 * min(bottom - top, other[3] - other[1])


def test_it_refers_to_its_sources() -> None:
    ds = ct_pdf()
    assert len(ds.SourceInstanceSequence) == grid().shape[0]
    assert ds.MIMETypeOfEncapsulatedDocument == "application/pdf"
    assert (ds.VerificationFlag, ds.BurnedInAnnotation) == ("UNVERIFIED", "YES")
    assert ds.DocumentTitle == "Chest CT, read by software"


def test_twice_the_same_bytes() -> None:
    assert ct_pdf().EncapsulatedDocument == ct_pdf().EncapsulatedDocument


def test_a_report_without_pictures() -> None:
    assert ct_pdf(material=None).EncapsulatedDocument.startswith(b"%PDF-")


def test_the_slices_with_most_findings_are_shown() -> None:
    lungs = np.ones((60, 8, 8), np.uint8)
    findings = np.zeros(lungs.shape, bool)
    findings[10, :4] = findings[40, :6] = findings[41, :5] = findings[25, :1] = True
    assert pictures.telling_slices(lungs, findings, 3) == [40, 25, 10]
    assert pictures.telling_slices(lungs, findings & False, 6) == [44, 30, 15]


def test_an_overview_has_the_patients_right_on_the_left_and_the_head_up() -> None:
    lungs = np.zeros((20, 10, 30), np.uint8)
    lungs[:, :, :10] = 1
    findings = np.zeros(lungs.shape, bool)
    findings[18:, :, :5] = True
    picture = pictures.coronal_overview(lungs, findings, spacing=(1.0, 1.0, 1.0), height=20)
    coloured = np.argwhere(np.ptp(picture.astype(int), axis=2) > 40)
    assert coloured[:, 0].max() < 5
    assert coloured[:, 1].max() < 8


def attention_map(image: XrayImage) -> Dataset:
    ds = build_attention(
        image=image,
        attention=attention_for(image),
        findings=xray_findings(),
        identity=IDENTITY,
        label=LABEL,
    )
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return pydicom.dcmread(buffer)


def test_the_attention_map_lies_on_the_picture() -> None:
    image = xray()
    pixels = attention_map(image).pixel_array[: image.pixels.shape[0]].astype(int)
    colour = np.ptp(pixels, axis=2)
    centre = [np.average(axis, weights=colour) for axis in np.indices(colour.shape)]
    assert centre == pytest.approx([350, 150], abs=15)
    grey = np.abs(pixels[500:, 300:, 0] - 255 * image.pixels[500:, 300:]) <= 1
    assert grey.mean() > 0.99
    assert pixels[10, 10, 0] == pytest.approx(255 * image.pixels[10, 10] / 2, abs=1)


def test_the_attention_map_is_labelled_derived_and_limited_in_size() -> None:
    image = xray(shape=(3000, 2400))
    ds = attention_map(image)
    assert max(ds.Rows, ds.Columns) <= LONGEST_SIDE * 1.1
    assert ds.BurnedInAnnotation == "YES"
    assert list(ds.ImageType)[:2] == ["DERIVED", "SECONDARY"]
    assert ds.SourceImageSequence[0].ReferencedSOPInstanceUID == image.source.header.SOPInstanceUID
    strip = ds.pixel_array[round(LONGEST_SIDE) :]
    assert strip.max() > 200
    assert list(ds.PatientOrientation) == ["L", "F"]


def test_an_attention_map_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="attention of shape"):
        build_attention(
            image=xray(),
            attention=np.zeros((3, 3), np.float32),
            findings=xray_findings(),
            identity=IDENTITY,
            label=LABEL,
        )
