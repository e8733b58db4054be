"""``.venv-dev/bin/python -m tests.make_docs``: the pictures and dumps in ``docs/``, made anew.

Of the synthetic studies only, with the models and the viewer that are installed now.
"""

from __future__ import annotations

import io
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pydicom
from PIL import Image
from pydicom.dataset import Dataset

from demo.phantom.files import write_studies
from demo.server import ROOT
from tests.conftest import Pacs
from tests.ohif import Viewer, viewer
from tests.pacs_client import settled

DOCS = ROOT / "docs"
WIDTH, HEIGHT = 1500, 950
PAGE_DPI = 110
LARGEST = (1200, 1287)
ATTENTION = (900, 900)
LONGEST_SEQUENCE = 2
SIDE_BY_SIDE = (1600, 940)
FINDINGS = "Opacities in the lungs"


def main() -> None:
    """Send the synthetic studies to an Orthanc of their own, and picture what came of them."""
    DOCS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="chest-ai-docs-") as work:
        studies = Path(work) / "studies"
        write_studies(studies)
        pacs = Pacs(Path(work) / "pacs", stable_age=2)
        try:
            pacs.start()
            pacs.store(sorted(studies.rglob("*.dcm")))
            entries = {entry["modality"]: entry for entry in settled(pacs, 2, seconds=600).values()}
            files = {(m, kind): stored for m in entries for kind, stored in entries[m]["outputs"].items()}
            write_dumps(pacs, files, Path(work))
            pages = {m: page(pacs.read(f"/instances/{files[m, 'pdf']}/pdf"), Path(work)) for m in entries}
            for modality, picture in pages.items():
                save(picture.copy(), f"pdf-{modality}")
            save(
                opened(pacs.read(f"/instances/{files['xray', 'attention']}/preview")), "attention", ATTENTION
            )
            uids = {m: pacs.get(f"/series/{entries[m]['series']}/study") for m in entries}
            with viewer(pacs.http_port, width=WIDTH, height=HEIGHT) as window:
                picture_viewer(window, {m: s["MainDicomTags"]["StudyInstanceUID"] for m, s in uids.items()})
                compose(pages["ct"], overlay(window, uids["ct"]["MainDicomTags"]["StudyInstanceUID"]))
        finally:
            pacs.kill()


def picture_viewer(window: Viewer, studies: dict[str, str]) -> None:
    """The reports, the PDF and the attention map in OHIF; ``studies``: Study Instance UIDs."""
    window.open(studies["ct"])
    window.show_report()
    while "Volume" not in window.numbers():
        window.next_measurement()
    save(opened(window.page.screenshot()), "ohif-sr")
    window.show_document()
    save(opened(window.page.screenshot()), "ohif-pdf")
    window.open(studies["xray"])
    window.show_attention()
    save(opened(window.page.screenshot()), "ohif-attention")


def overlay(window: Viewer, study: str) -> Image.Image:
    """The segmentation in OHIF, saved, and once more in a higher window for the picture of the README."""
    window.show_segmentation(study, FINDINGS)
    save(opened(window.page.screenshot()), "ohif-segmentation")
    window.page.set_viewport_size({"width": WIDTH, "height": HEIGHT * 4 // 3})
    window.settle()
    left = window.page.locator("canvas").first.bounding_box()["x"]
    whole = opened(window.page.screenshot())
    return whole.crop((int(left), 0, whole.width, whole.height))


def compose(paper: Image.Image, screen: Image.Image) -> None:
    """The README's picture: the PDF beside the segmentation."""
    width, height = SIDE_BY_SIDE
    together = Image.new("RGB", SIDE_BY_SIDE, "black")
    paper = paper.resize((round(paper.width * height / paper.height), height), Image.Resampling.LANCZOS)
    rest = width - paper.width
    scale = min(rest / screen.width, height / screen.height)
    screen = screen.resize((int(screen.width * scale), int(screen.height * scale)), Image.Resampling.LANCZOS)
    together.paste(paper, (0, 0))
    together.paste(screen, (paper.width + (rest - screen.width) // 2, (height - screen.height) // 2))
    save(together, "result", SIDE_BY_SIDE)


def page(pdf: bytes, work: Path) -> Image.Image:
    """The only page of a PDF, as poppler draws it."""
    file = work / "page.pdf"
    file.write_bytes(pdf)
    subprocess.run(["pdftoppm", "-png", "-singlefile", "-r", str(PAGE_DPI), file, work / "page"], check=True)
    return opened((work / "page.png").read_bytes())


def opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("RGB")


def save(picture: Image.Image, name: str, largest: tuple[int, int] = LARGEST) -> None:
    """As PNG of 256 colours, those between them dithered: half the size that all colours would take."""
    picture.thumbnail(largest, Image.Resampling.LANCZOS)
    palette = picture.quantize(256, method=Image.Quantize.MAXCOVERAGE)
    path = DOCS / f"{name}.png"
    picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {picture.width} x {picture.height}, {path.stat().st_size // 1024} KB")


def write_dumps(pacs: Pacs, files: dict[tuple[str, str], Any], work: Path) -> None:
    """What DCMTK reads in each kind of object."""
    wanted = {
        "sr-ct": ("ct", "sr"),
        "sr-xray": ("xray", "sr"),
        "seg": ("ct", "seg"),
        "pdf": ("ct", "pdf"),
        "attention": ("xray", "attention"),
    }
    for name, result in wanted.items():
        file = work / "result.dcm"
        stored = pydicom.dcmread(io.BytesIO(pacs.read(f"/instances/{files[result]}/file")))
        left_out = shorten(stored) if result[1] != "sr" else []
        stored.save_as(file)
        tool = "dsrdump" if result[1] == "sr" else "dcmdump"
        text = subprocess.run([tool, file], capture_output=True, text=True, check=True).stdout
        lines = [f"# {tool}: a result of the synthetic studies", *left_out, *text.splitlines()]
        (DOCS / f"{name}.txt").write_text("\n".join(line.rstrip() for line in lines) + "\n")


def shorten(dataset: Dataset) -> list[str]:
    """Cut long sequences; returns a line about each that was cut."""
    left_out = []
    for element in dataset:
        if element.VR != "SQ":
            continue
        if len(element.value) > LONGEST_SEQUENCE + 1:
            left_out.append(
                f"# {element.keyword}: the first {LONGEST_SEQUENCE} of {len(element.value)} items"
            )
            element.value = element.value[:LONGEST_SEQUENCE]
        for item in element.value:
            left_out += shorten(item)
    return left_out


if __name__ == "__main__":
    main()
