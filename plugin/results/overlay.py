"""The picture of the attention map: an X-ray with colour over it, sides marked, and words below."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from plugin.analysis.attention import AttentionMap
from plugin.dicom.imaging import XrayImage
from plugin.domain.findings import Findings
from plugin.results import pictures as pic
from plugin.results.attention import caption
from plugin.results.orientation import left_and_right
from plugin.results.summary import opinion
from plugin.results.texts import Texts

LONGEST_SIDE = 1280
"""Pixels of the longer side at most: the map is coarse, and the original is in the archive."""

_FONT = Path(__file__).with_name("fonts") / "NotoSans-Regular.ttf"
_WHITE, _YELLOW = (255, 255, 255), (255, 214, 102)
_DARK = (30, 30, 30)


def overlay(
    image: XrayImage,
    attention: AttentionMap,
    findings: Findings,
    texts: Texts,
) -> npt.NDArray[np.uint8]:
    """The picture with the map over it and, below it, a strip: each classifier's answer, how to read the
    colours, the warning. RGB, uint8 (rows, columns, 3).
    """
    rows, columns = image.pixels.shape
    scale = min(1.0, LONGEST_SIDE / max(rows, columns))
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    picture = pic.heat_over(
        pic.resized_float(image.pixels, *size), pic.resized_float(attention.shades, *size)
    )
    marked = _with_sides(picture, left_and_right(image.source.header), texts)
    called = any(said.positive for said in findings.classifications[:1])
    lines = [
        *((opinion(said, texts), _WHITE) for said in findings.classifications),
        (caption(texts, attention, called=called), _WHITE),
        (texts("disclaimer"), _YELLOW),
    ]
    return np.concatenate([marked, _strip(size[0], lines)])


def _with_sides(
    picture: npt.NDArray[np.uint8], sides: tuple[str, str], texts: Texts
) -> npt.NDArray[np.uint8]:
    """The patient's sides in the upper corners, where they are known."""
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    font = ImageFont.truetype(_FONT, max(10, image.width // 28))
    edge = round(1.3 * font.size)
    for letter, x in zip(sides, (0, image.width - edge), strict=True):
        if letter:
            draw.rectangle((x, 0, x + edge - 1, edge - 1), fill=_DARK)
            middle = (x + edge / 2, edge / 2)
            draw.text(middle, texts(f"pdf.side.{letter}"), font=font, fill=_WHITE, anchor="mm")
    return np.asarray(image, np.uint8)


def _strip(width: int, lines: Sequence[tuple[str, tuple[int, int, int]]]) -> npt.NDArray[np.uint8]:
    """White and yellow words on black, broken to the width."""
    font = ImageFont.truetype(_FONT, max(8, width // 48))
    margin = round(0.6 * font.size)
    broken = [(line, colour) for words, colour in lines for line in _broken(words, font, width - 2 * margin)]
    height = round(1.45 * font.size)
    strip = Image.new("RGB", (width, height * len(broken) + height // 2), (0, 0, 0))
    draw = ImageDraw.Draw(strip)
    for number, (line, colour) in enumerate(broken):
        draw.text((margin, height * (number + 0.1)), line, font=font, fill=colour)
    return np.asarray(strip, np.uint8)


def _broken(words: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
