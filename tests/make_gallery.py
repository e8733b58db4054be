"""``.venv-dev/bin/python -m tests.make_gallery [NAME …]``: the pictures in ``docs/gallery/``, made anew.

Every kind of result, made of the synthetic phantom by the pipelines and the networks that are installed
now: the page of the PDF, the segmentation as the SEG has it, the attention map, the SR as OHIF shows it and
in words. A score that no phantom gets from a network is given, which the picture's title says; the rest is
real.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset
from scipy import ndimage

from demo.server import ROOT
from plugin import pipelines
from plugin.analysis.segmentation import segment
from plugin.domain.findings import ClassProbability
from plugin.models.lineup import Lineup, load_lineup
from plugin.models.network import Model, Prediction
from plugin.pipelines import ct_segment, steps
from plugin.pipelines.reading import Reading, Request, Stages
from plugin.results import pictures
from plugin.results.identity import Identity
from plugin.results.summary import Earlier
from plugin.settings import read_settings
from tests.gallery_cases import CASES, Case, InMemory, Series
from tests.gallery_viewer import report_viewer

GALLERY = ROOT / "docs" / "gallery"
PAGE_HEIGHT, SIDE = 900, 620
QUALITY = 72
FONT = ROOT / "plugin" / "results" / "fonts" / "NotoSans-Regular.ttf"
WHEN = datetime(2026, 11, 25, 4, 0)
SEGMENTS = {1: pictures.RIGHT_COLOUR, 2: pictures.LEFT_COLOUR, 3: pictures.FINDINGS_COLOUR}


def main(names: list[str]) -> None:
    """Make the named cases, or all."""
    GALLERY.mkdir(parents=True, exist_ok=True)
    settings = read_settings({"ChestAI": {"Provider": "cpu"}})
    lineup = load_lineup(settings)
    readings: dict[str, Reading] = {}
    folder = Path(tempfile.gettempdir()) / "chest-ai-gallery"
    folder.mkdir(exist_ok=True)
    with report_viewer() as shows:
        for case in CASES:
            if names and case.name not in names:
                continue
            series = case.series(folder)
            readings[case.name] = reading = read(case, series, lineup, readings)
            report = reading.results.get("sr")
            seen = [] if report is None else shows(series, report)
            save(picture(case, series, reading, seen), case.name)


def read(case: Case, series: Series, lineup: Lineup, readings: dict[str, Reading]) -> Reading:
    """One case by its pipeline; a given score takes the place of the network's."""
    settings = read_settings({"ChestAI": {"Provider": "cpu", "Language": case.language}})
    replaced = readings.get(case.replaces)
    request = Request(
        source=InMemory(series),
        identity=identity_of(case.name, series),
        lineup=lineup,
        settings=settings,
        stages=Stages(lambda _stage, _progress: None),
        history=earlier(readings.get(case.before)),
        predecessors=(replaced.results["sr"],) if replaced is not None else (),
    )
    with ExitStack() as changed:
        if case.score is not None:
            changed.enter_context(patch.object(steps, "ask", given(case.score)))
        if case.unmarked:
            changed.enter_context(patch.object(ct_segment, "segment", unmarked))
        return pipelines.read(case.modality, request)


def unmarked(*arguments: Any, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """What the segmentation network outlines, without the opacities."""
    lungs, findings = segment(*arguments, **options)
    return lungs, np.zeros_like(findings)


def identity_of(name: str, series: Series) -> Identity:
    """Who the results of a case are."""
    return Identity(series_uid=str(series[0].SeriesInstanceUID), reading=name, created=WHEN)


def given(score: float) -> Callable[..., tuple[Prediction, tuple[ClassProbability, ...]]]:
    """:func:`steps.ask` with that score for the finding; the evidence is the network's own."""
    asked = steps.ask

    def ask(model: Model, *seen: np.ndarray) -> tuple[Prediction, tuple[ClassProbability, ...]]:
        prediction, classes = asked(model, *seen)
        if not any(c.role == "finding" for c in classes):
            return prediction, classes
        refused = sum(c.probability for c in classes if c.role == "reject")
        shares = {"finding": score, "reject": refused, "other": 1 - score - refused}
        return prediction, tuple(replace(c, probability=shares[c.role]) for c in classes)

    return ask


def earlier(before: Reading | None) -> tuple[Earlier, ...]:
    """What an earlier reading of the same person measured."""
    if before is None or before.findings is None or before.findings.lungs is None:
        return ()
    lungs = before.findings.lungs
    return (
        Earlier(
            day=date(2024, 1, 15),
            percent=lungs.percent,
            right_percent=lungs.right.percent,
            left_percent=lungs.left.percent,
            findings_ml=lungs.findings_ml,
        ),
    )


def picture(case: Case, series: Series, reading: Reading, seen: list[Image.Image]) -> Image.Image:
    """The page beside segmentation, attention map, the report as OHIF shows it (``seen``) and its words,
    under a title."""
    parts = []
    results = reading.results
    if "seg" in results:
        parts.append(segmented(results["seg"], series))
    row = list(seen)
    if "attention" in results:
        row.insert(0, Image.fromarray(results["attention"].pixel_array))
    if row:
        parts.append(beside(row))
    told = "score given" if case.score is not None else "outlines taken away" if case.unmarked else ""
    title = f"{case.title} ({told})" if told else case.title
    if "sr" in results:
        words = ["Structured Report", *summary_first(list(report_lines(results["sr"])))]
    else:
        words = ["No report is stored; the status route tells:"]
        words += [f"{remark.code}: {remark.message}" for remark in reading.verdict.remarks]
    page = page_of(results["pdf"]) if "pdf" in results else None
    left = page.width + 10 if page is not None else 0
    if page is None:
        parts.append(source(series))
    height = PAGE_HEIGHT if page is not None else 560
    whole = Image.new("RGB", (left + SIDE, height + 30), "white")
    draw = ImageDraw.Draw(whole)
    draw.text((8, 5), title, font=ImageFont.truetype(FONT, 16), fill="black")
    if page is not None:
        whole.paste(page, (0, 30))
    y = 30
    for part in parts:
        whole.paste(part, (left, y))
        y += part.height + 8
    write(draw, words, (left + 6, y), whole.height - 4)
    return whole


def beside(pictures: list[Image.Image]) -> Image.Image:
    """Two pictures at most, side by side."""
    for shown in pictures:
        shown.thumbnail((SIDE // 2 - 4, PAGE_HEIGHT // 2))
    whole = Image.new("RGB", (SIDE, max(shown.height for shown in pictures)), "white")
    for place, shown in enumerate(pictures):
        whole.paste(shown, (place * SIDE // 2, 0))
    return whole


def page_of(pdf: Dataset) -> Image.Image:
    """The page of a report as poppler draws it."""
    with tempfile.TemporaryDirectory() as work:
        file = Path(work) / "page.pdf"
        file.write_bytes(pdf.EncapsulatedDocument)
        target = ["-scale-to", str(PAGE_HEIGHT), file, Path(work) / "page"]
        subprocess.run(["pdftoppm", "-png", "-singlefile", *target], check=True)
        return Image.open(Path(work) / "page.png").convert("RGB").copy()


def segmented(seg: Dataset, series: Series) -> Image.Image:
    """Three source images with the outlines that the SEG has for them."""
    frames = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    of_image: dict[str, dict[int, np.ndarray]] = {}
    for frame, groups in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        uid = groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        number = int(groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        of_image.setdefault(uid, {})[number] = frame.astype(bool)
    last = max(number for masks in of_image.values() for number in masks)
    uids = [str(image.SOPInstanceUID) for image in series]
    area = np.array([of_image.get(uid, {}).get(last, np.zeros(1)).sum() for uid in uids])
    fullest = int(area.argmax())
    size = SIDE // 3
    whole = Image.new("RGB", (SIDE, size), "black")
    for place, index in enumerate((max(0, fullest - 15), fullest, min(len(series) - 1, fullest + 15))):
        image = series[index]
        hu = image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept)
        shown = np.repeat(pictures.lung_window(hu.astype(np.int16))[..., None], 3, axis=2)
        for number, mask in of_image.get(uids[index], {}).items():
            shown[mask & ~ndimage.binary_erosion(mask, iterations=2)] = SEGMENTS[number]
        whole.paste(Image.fromarray(shown).resize((size - 2, size - 2)), (place * size, 0))
    return whole


def report_lines(item: Dataset, depth: int = 0) -> Iterator[str]:
    """What the report says: texts, codes and numbers with their units, indented as they are nested; its
    references are left out."""
    for inner in item.get("ContentSequence", ()):
        name = inner.ConceptNameCodeSequence[0].CodeMeaning if "ConceptNameCodeSequence" in inner else ""
        match inner.ValueType:
            case "TEXT":
                yield f"{'  ' * depth}{name}: {inner.TextValue}"
            case "CODE":
                yield f"{'  ' * depth}{name}: {inner.ConceptCodeSequence[0].CodeMeaning}"
            case "NUM":
                measured = inner.MeasuredValueSequence[0]
                unit = measured.MeasurementUnitsCodeSequence[0].CodeValue
                yield f"{'  ' * depth}{name}: {measured.NumericValue} {unit}"
            case "CONTAINER" if name != "Image Library":
                yield f"{'  ' * depth}{name}"
                yield from report_lines(inner, depth + 1)


def summary_first(lines: list[str]) -> list[str]:
    """The lines of a report, its summary and comments first."""
    said = [line for line in lines if line.strip().startswith(("Summary:", "Comment:", "Resumo:"))]
    return [*(line.strip() for line in said), *(line for line in lines if line not in said)]


def source(series: Series) -> Image.Image:
    """The middle image of a series that was not read."""
    image = series[len(series) // 2]
    pixels = image.pixel_array.astype(np.float32)
    low, high = np.percentile(pixels, [1, 99])
    grey = np.clip((pixels - low) / (high - low), 0, 1) * 255
    shown = Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    shown.thumbnail((340, 340))
    return shown


def write(draw: ImageDraw.ImageDraw, lines: list[str], place: tuple[int, int], bottom: int) -> None:
    """As many lines of a report as find room."""
    font, (x, y) = ImageFont.truetype(FONT, 11), place
    for line in lines:
        indent = line[: len(line) - len(line.lstrip())]
        for piece in textwrap.wrap(
            line.strip(), 104, initial_indent=indent, subsequent_indent=f"{indent}    "
        ):
            if y + 14 > bottom:
                draw.text((x, y - 2), "…", font=font, fill="black")
                return
            draw.text((x, y), piece, font=font, fill="black")
            y += 13


def save(image: Image.Image, name: str) -> None:
    """As JPEG: pictures of films have more greys than a palette."""
    path = GALLERY / f"{name}.jpg"
    image.save(path, quality=QUALITY, optimize=True)
    print(f"{path.relative_to(ROOT)}: {image.width} x {image.height}, {path.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main(sys.argv[1:])
