"""The X-ray's part of the page: the picture beside where the network looked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plugin.dicom.imaging import XrayImage
from plugin.results import pictures as pic
from plugin.results.pdf.page import QUIET, Area, Page
from plugin.results.texts import Texts

_GAP = 4.0
_PIXELS_PER_MM = 9


@dataclass(frozen=True, kw_only=True)
class XrayMaterial:
    """What the pictures of an X-ray are made of.

    ``attention``: float32, the picture's shape, in [0, 1], NaN where the network saw nothing; None
    where the network gives no map.
    """

    image: XrayImage
    attention: npt.NDArray[np.float32] | None


def pictures(page: Page, area: Area, material: XrayMaterial, texts: Texts) -> float:
    """The picture, and beside it the attention map over it; returns y below."""
    rows, columns = material.image.pixels.shape
    side_by_side = material.attention is not None
    width = (area.width - _GAP) / 2 if side_by_side else area.width
    height: float = min(width * rows / columns, area.height - (22 if side_by_side else 6))
    width = height * columns / rows
    pixels = (round(width * _PIXELS_PER_MM), round(height * _PIXELS_PER_MM))
    grey = pic.resized_float(material.image.pixels, *pixels)
    top = page.heading(area.x, area.y, texts("pdf.picture"), width)
    plain = (np.clip(grey, 0, 1) * 255).astype(np.uint8)
    page.picture(Area(area.x, top, width, height), plain, texts("pdf.picture"))
    if material.attention is None:
        return top + height
    x = area.x + (area.width + _GAP) / 2
    page.heading(x, area.y, texts("pdf.attention"), width)
    attention = pic.resized_float(material.attention, *pixels)
    page.picture(Area(x, top, width, height), pic.heat_over(grey, attention), texts("pdf.attention"))
    below = top + height + 1.5
    _scale(page, x, below, texts)
    words = texts("pdf.attention_words")
    if not np.nanmax(material.attention, initial=0) > 0:
        words = f"{texts('pdf.nowhere')}. {words}"
    return page.paragraph(x, below + 4.5, words, size=7, colour=QUIET, width=(area.width - _GAP) / 2)


def _scale(page: Page, x: float, y: float, texts: Texts) -> None:
    """The colours from little to much, as they look over a middle grey."""
    ramp = np.repeat(np.linspace(0, 1, 200, dtype=np.float32)[None], 12, axis=0)
    colours = pic.heat_over(np.full_like(ramp, 0.5), ramp)
    page.put(x, y, texts("pdf.little"), size=7, colour=QUIET, width=11)
    page.picture(Area(x + 11, y + 0.4, 26, 2.4), colours, texts("pdf.scale"))
    page.put(x + 39, y, texts("pdf.much"), size=7, colour=QUIET, width=12)
