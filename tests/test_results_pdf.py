"""The PDF report and the attention map: what they say, in every script, and that nothing overlaps."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from results_factory import (
    IDENTITY,
    LABEL,
    attention_for,
    classification,
    ct_findings,
    grid,
    lungs_on,
    measurements,
    volume,
    xray,
    xray_findings,
)
from scipy import ndimage

from plugin.analysis.attention import AttentionMap
from plugin.dicom.imaging import XrayImage
from plugin.domain.assessment import Assessment, Decision
from plugin.domain.findings import FigureKind, Findings, Measured, Remark, Severity
from plugin.results.common import SeriesLabel
from plugin.results.pdf.attention import ProjectionAttention
from plugin.results.pdf.material import CtMaterial
from plugin.results.pdf.report import build_pdf
from plugin.results.pdf.xray import XrayMaterial
from plugin.results.summary import Earlier, narrative, sentence

HISTORY = (
    Earlier(day=date(2024, 4, 1), percent=3.25),
    Earlier(day=date(2024, 5, 2), percent=12.5),
)
WORD = Assessment(
    decision=Decision.MODIFY,
    by="Silva^Mary",
    organization="Hospital São José",
    verified=False,
    at=1.7e9,
    text="Old scars, no pneumonia. " * 80,
    meaning="No opacities as in COVID-19",
    report="a" * 44,
    assessed="b" * 44,
    made_by=f"orthanc-chest-ai 0.1.0 ({', '.join(f'ct-network-{n} 1.0.{n}' for n in range(12))})",
    made_at=1.6e9,
)
needs_poppler = pytest.mark.skipif(shutil.which("pdftotext") is None, reason="needs Poppler's pdftotext")


def material(maps: int = 0, strongest: float = 0.25) -> CtMaterial:
    where = grid()
    lungs, findings = lungs_on(where)
    picture = np.full((20, 24), 0.5, np.float32)
    attention = np.full_like(picture, strongest)
    attention[0] = np.nan
    seen = ProjectionAttention(
        projection="axial",
        picture=picture,
        attention=AttentionMap(shades=attention, outside=0.0),
        size=(240.0, 240.0),
    )
    return CtMaterial(volume=volume(where), lungs=lungs, findings=findings, attention=(seen,) * maps)


def ct_pdf(findings: Findings | None = None, **further: object) -> Dataset:
    shown = material()
    options = {"label": LABEL, "material": shown} | further
    return build_pdf(
        findings=findings or ct_findings(),
        sources=shown.volume.sources,
        identity=IDENTITY,
        **options,  # type: ignore[arg-type]
    )


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
    assert "one of two classifiers agrees" in " ".join(text.split())
    assert "Score 83" in text
    assert "Score 41" in text
    assert text.count("positive from 53") == 2
    assert "83 %" not in text
    assert "2024-05-02" in text
    assert "ct-segmentation 1.2.0" in text
    assert "SHA-256 abababababababab" in text
    assert "For research, not for clinical use" in text
    assert text.count("\f") == 1


@needs_poppler
def test_names_of_many_scripts_come_out_right(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, shown in (
        ("Gonçalves^João Antônio", "Gonçalves, João Antônio"),
        ("Емельянова^Антонина", "Емельянова, Антонина"),
        ("Παπαδόπουλος^Γιώργος", "Παπαδόπουλος, Γιώργος"),
        ("Nguyễn^Thị Ánh", "Nguyễn, Thị Ánh"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada, Tarou 山田, 太郎 やまだ, たろう"),
        ("Kim^Younghee=김^영희", "Kim, Younghee 김, 영희"),
        ("ბერიძე^გიორგი", "ბერიძე, გიორგი"),
        ("Սարգսյան^Անի", "Սարգսյան, Անի"),
        ("สมชาย^ใจดี", "สมชาย, ใจดี"),
        ("शर्मा^राम", "राम"),
    ):
        image = xray(PatientName=name)
        assert shown in " ".join(words(xray_pdf(image), tmp_path).split())
    # fpdf2 says so where a font has no picture of a letter.
    assert "missing" not in caplog.text


@needs_poppler
def test_a_long_name_is_not_cut(tmp_path: Path) -> None:
    family, given = "de Souza Cavalcanti Albuquerque e Silva", "Maria Aparecida Carolina"
    ds = xray_pdf(xray(PatientName=f"{family}^{given}={family}^{given}"))
    said = " ".join(words(ds, tmp_path, "-raw").split())
    assert f"{family}, {given} {family}, {given}" in said


@needs_poppler
@pytest.mark.parametrize(
    ("name", "shown", "pieces"), [("محمد", "محمد", 1), ("שלום", "שלום", 4)], ids=["Arabic", "Hebrew"]
)
def test_letters_from_right_to_left_are_joined(name: str, shown: str, pieces: int, tmp_path: Path) -> None:
    """Arabic letters are written as one; a word reads from the right in both scripts."""
    ds = xray_pdf(xray(PatientName=name))
    assert shown in words(ds, tmp_path)
    area = ["-r", "300", "-x", "150", "-y", "200", "-W", "1400", "-H", "90"]
    page = tmp_path / "name"
    subprocess.run(["pdftoppm", "-png", "-singlefile", *area, tmp_path / "report.pdf", page], check=True)
    ink = np.asarray(Image.open(page.with_suffix(".png")).convert("L")) < 128
    assert ndimage.label(ink, np.ones((3, 3)))[1] == pieces


@needs_poppler
def test_a_letter_that_no_font_has_does_not_vanish(tmp_path: Path) -> None:
    assert "\N{REPLACEMENT CHARACTER}, x" in words(xray_pdf(xray(PatientName="🫁^x")), tmp_path)


@needs_poppler
def test_portuguese(tmp_path: Path) -> None:
    label = SeriesLabel(software_version="0.1.0", language="pt")
    text = words(ct_pdf(label=label), tmp_path)
    assert "Pulmão direito" in text
    assert "8,8 %" in text
    assert "não para uso clínico" in text


@needs_poppler
@pytest.mark.parametrize(("strongest", "said"), [(0.25, False), (0.0, True)])
def test_a_map_without_colour_is_explained(strongest: float, said: bool, tmp_path: Path) -> None:
    ct = words(ct_pdf(material=material(maps=1, strongest=strongest)), tmp_path)
    assert ("Nothing\n" in ct) == said
    film = xray()
    attention = AttentionMap(shades=np.full_like(film.pixels, strongest), outside=0.0)
    ds = build_pdf(
        findings=xray_findings(),
        sources=[film.source],
        identity=IDENTITY,
        label=LABEL,
        material=XrayMaterial(image=film, attention=attention),
    )
    assert ("Nothing. " in " ".join(words(ds, tmp_path).split())) == said


@needs_poppler
def test_four_maps_say_whole_words(tmp_path: Path) -> None:
    text = words(ct_pdf(material=material(maps=4)), tmp_path)
    assert len(re.findall(r"\bprojection\b", text.split("What raised the score")[1])) >= 4
    assert "…" not in text.split("What raised the score")[1].split("How good is this?")[0]


@needs_poppler
def test_a_word_on_an_earlier_result_leaves_room_for_this_one(tmp_path: Path) -> None:
    """A long comment and many networks are cut; who said what of which result is not."""
    said = " ".join(words(ct_pdf(assessment=WORD, history=HISTORY), tmp_path, "-raw").split())
    assert "Silva, Mary (Hospital São José, identity not checked) corrected the result of 2020-09-13" in said
    assert "on 2023-11-14" in said
    assert "Class given instead: No opacities as in COVID-19." in said
    assert said.count("Old scars") < 20
    assert narrative(ct_findings(), LABEL.texts, HISTORY) in said
    assert LABEL.texts("pdf.overview") in said


def remarked(count: int) -> tuple[Remark, ...]:
    """So many remarks, each told apart by its number."""
    words = "to be known of these images by everybody who reads them, and by whoever measures in them as well"
    return tuple(
        Remark(code=f"R{n}", severity=Severity.WARN, message=f"Remark {n}, {words}") for n in range(count)
    )


@needs_poppler
@pytest.mark.parametrize("language", ["en", "pt"])
@pytest.mark.parametrize("history", [(), HISTORY], ids=["alone", "with a history"])
@pytest.mark.parametrize("count", [0, 1, 3, 6])
def test_no_words_go_for_pictures(
    count: int, history: tuple[Earlier, ...], language: str, tmp_path: Path
) -> None:
    """Whatever else is on the page: every remark and the whole paragraph are. Attention goes before that."""
    findings = ct_findings(remarked(count))
    label = SeriesLabel(software_version="0.1.0", language=language)
    ds = ct_pdf(findings, history=history, material=material(maps=1), label=label)
    said = " ".join(words(ds, tmp_path, "-raw").split())
    assert narrative(findings, label.texts, history) in said
    for remark in findings.remarks:
        assert sentence(remark, label.texts) in said
    assert label.texts("pdf.overview") in said
    assert label.texts("pdf.lesions") in said
    # The change since then is in the paragraph and the earlier percentages are in the table, plot or not.
    assert (label.texts("pdf.course") in said) == (bool(history) and count < 6)
    assert (label.texts("pdf.scale") in said) == (not history or count != 3)


@needs_poppler
def test_remarks_without_room_are_counted(tmp_path: Path) -> None:
    findings = ct_findings(remarked(60))
    said = " ".join(words(ct_pdf(findings), tmp_path, "-raw").split())
    shown = sum(f"Remark {n}," in said for n in range(60))
    assert 10 < shown < 60
    assert LABEL.texts("pdf.more_remarks", count=60 - shown) in said
    assert narrative(findings, LABEL.texts) in said
    assert LABEL.texts("pdf.total") in said


def not_called() -> Findings:
    """A segmentation with findings that no classifier calls."""
    remark = Remark(code="findings_not_called", severity=Severity.WARN, message="No classifier calls them.")
    calm = tuple(classification(f"ct-{p}", p, 0.1) for p in ("axial", "sagittal"))
    return replace(ct_findings((remark,)), classifications=calm)


@needs_poppler
@pytest.mark.parametrize(
    ("language", "headline"),
    [
        ("en", "neither classifier agrees"),
        ("pt", "nenhum dos dois classificadores concorda"),
    ],
)
def test_no_calm_headline_over_findings_that_no_classifier_calls(
    language: str, headline: str, tmp_path: Path
) -> None:
    label = SeriesLabel(software_version="0.1.0", language=language)
    heading = structure(ct_pdf(not_called(), label=label), tmp_path).split("H1 (block)")[1].splitlines()[1]
    assert headline in heading
    assert "380 mL" in heading


def structure(ds: Dataset, folder: Path) -> str:
    """The elements of the document's structure with their text."""
    path = folder / "report.pdf"
    path.write_bytes(ds.EncapsulatedDocument)
    done = subprocess.run(["pdfinfo", "-struct-text", str(path)], capture_output=True, text=True, check=True)
    return done.stdout


@needs_poppler
def test_it_is_tagged(tmp_path: Path) -> None:
    """All words are in the structure, in the order in which they are read; pictures have a description."""
    ds = ct_pdf(material=material(maps=1), history=HISTORY)
    tree = structure(ds, tmp_path)
    headings = re.findall(r'H2 \(block\)\n +"(.*)"', tree)
    assert headings == [
        *("Slices with most opacities", "Opacities from the front", "Volumes", "Largest opacities"),
        *("What raised the score", "Course", "What this report cannot tell", "How good is this?"),
    ]
    told = " ".join(re.findall(r'^ +"(.*)"$', tree, re.MULTILINE)).split()
    assert sorted(told) == sorted(words(ds, tmp_path, "-raw").split())
    assert ds.EncapsulatedDocument.count(b"/Alt ") == len(re.findall("^ +Figure$", tree, re.MULTILINE)) == 6
    assert b"/Lang (en)" in ds.EncapsulatedDocument


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
@pytest.mark.parametrize("case", ["plain", "full", "crowded", "no lungs", "assessed"])
def test_no_words_overlap_or_leave_the_page(case: str, language: str, tmp_path: Path) -> None:
    findings = {
        "plain": ct_findings(),
        "full": ct_findings((Remark(code="A", severity=Severity.WARN, message="Thick."),)),
        "crowded": crowded(),
        "no lungs": replace(ct_findings(), lungs=None),
        "assessed": ct_findings(remarked(3)),
    }[case]
    label = SeriesLabel(software_version="0.1.0", language=language)
    history = () if case in {"plain", "no lungs"} else HISTORY
    shown = material(maps=4 if case == "crowded" else 1)
    word = WORD if case == "assessed" else None
    ds = ct_pdf(findings, history=history, material=shown, label=label, assessment=word)
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
    assert ds.DocumentTitle == "Chest CT, analysed by software"


def test_twice_the_same_bytes() -> None:
    assert ct_pdf().EncapsulatedDocument == ct_pdf().EncapsulatedDocument


def test_a_report_without_pictures() -> None:
    assert ct_pdf(material=None).EncapsulatedDocument.startswith(b"%PDF-")


@needs_poppler
def test_the_head_names_the_series_and_never_loses_the_accession_number(tmp_path: Path) -> None:
    told = {
        "StudyDescription": "CT of the chest with contrast in the venous phase, follow-up after discharge, A",
        "SeriesDescription": "Lung 1.25",
        "ConvolutionKernel": "B70f",
    }
    where = grid()
    source = volume(where, **told)
    lungs, findings = lungs_on(where)
    shown = CtMaterial(volume=source, lungs=lungs, findings=findings)
    ds = build_pdf(
        findings=ct_findings(), sources=source.sources, identity=IDENTITY, label=LABEL, material=shown
    )
    text = " ".join(words(ds, tmp_path).split())
    assert "Series 3 · Lung 1.25 · slices 5 mm thick · kernel B70f" in text
    assert "Accession A-77" in text
    assert "CT of the chest with contrast" in text


@needs_poppler
def test_the_pictures_have_a_window_a_scale_and_a_key(tmp_path: Path) -> None:
    text = " ".join(words(ct_pdf(material=material(maps=1)), tmp_path).split())
    assert "window –600 / 1500 HU" in text
    assert re.search(r"\b(10|5|2|1) cm\b", text)
    for key in ("right lung", "left lung", "opacities"):
        assert key in text
    assert "Colours do not locate disease." in text


@needs_poppler
def test_the_largest_opacities_are_listed(tmp_path: Path) -> None:
    shown = material()
    text = words(ct_pdf(material=shown), tmp_path)
    listed = re.findall(r"(Right|Left), (upper|middle|lower) third: ([\d.]+) mL, image (\d+)", text)
    inside = shown.findings & (shown.lungs > 0)
    labels, count = ndimage.label(inside, np.ones((3, 3, 3)))
    voxel = np.prod(shown.volume.spacing) / 1000
    sizes = sorted((float((labels == n).sum() * voxel) for n in range(1, count + 1)), reverse=True)
    assert [float(volume_ml) for _, _, volume_ml, _ in listed] == pytest.approx(sizes[:4], abs=0.5)
    side, third, _, image = listed[0]
    assert (side, third) == ("Right", "middle")
    assert inside[int(image) - 1].any()


@needs_poppler
def test_no_third_of_a_lung_that_the_images_cut(tmp_path: Path) -> None:
    cut = Remark(code="lungs_cut_base", severity=Severity.WARN, message="the lungs run out of the images")
    text = words(ct_pdf(ct_findings((cut,))), tmp_path)
    assert "third" not in text
    assert re.search(r"Right: [\d.]+ mL, image \d+", text)
    assert "of the lung on the images" in " ".join(text.split())


@needs_poppler
def test_the_earlier_percentages_stand_beside_the_current_ones(tmp_path: Path) -> None:
    before = Earlier(day=date(2024, 5, 2), percent=12.5, right_percent=14.5, left_percent=10.25)
    label = SeriesLabel(software_version="0.1.0", language="pt")
    translated = words(ct_pdf(history=(before,), label=label), tmp_path)
    for whole in ("Pulmão direito", "Pulmão esquerdo", "Juntos", "em 2024-05-02"):
        assert whole in translated
    text = words(ct_pdf(history=(before,)), tmp_path)
    assert "on 2024-05-02" in text
    said = measurements()
    for now, then in ((said.right, 14.5), (said.left, 10.25), (said, 12.5)):
        assert re.search(rf"{now.percent:.1f} % +{then:.1f} %", text)


@needs_poppler
def test_not_segmented_is_not_no_lungs(tmp_path: Path) -> None:
    none_found = Remark(code="no_lungs", severity=Severity.WARN, message="no lungs were found (12 mL)")
    cases = (((), "not segmented", "no lungs"), ((none_found,), "no lungs found", "segm"))
    for remarks, words_said, unsaid in cases:
        findings = replace(ct_findings(remarks), lungs=None)
        text = words(ct_pdf(findings, material=None), tmp_path)
        assert words_said in text
        assert unsaid not in text


@needs_poppler
def test_measured_figures_and_operating_points_stand_on_the_page(tmp_path: Path) -> None:
    figures = (Measured(kind=FigureKind.VOLUME_BIAS_ML, value=-153.3, interval=(-331.9, -5.2), n=11),)
    lungs = measurements()
    known = replace(lungs.algorithm, measured=figures, operating_points=(("lung", 0.5), ("findings", 0.3)))
    ds = ct_pdf(ct_findings(lungs=replace(lungs, algorithm=known)))
    text = " ".join(words(ds, tmp_path, "-raw").split())
    assert "mean error of the volume of opacities –153 mL (–332 to –5; n = 11)" in text
    assert "operating points: lung 50, findings 30" in text
