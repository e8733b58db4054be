"""The X-ray's part of the page: the picture beside what speaks for the finding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plugin.analysis.attention import AttentionMap
from plugin.dicom.imaging import XrayImage
from plugin.results import pictures as pic
from plugin.results.attention import caption, kind
from plugin.results.orientation import left_and_right
from plugin.results.pdf import attention, marks
from plugin.results.pdf.page import QUIET, Area, Page
from plugin.results.texts import Texts

_GAP = 4.0
_BELOW = 30.0
"""Room in mm for the words below the map."""


@dataclass(frozen=True, kw_only=True)
class XrayMaterial:
    """What the pictures of an X-ray are made of.

    ``attention``: of the picture's shape; None where the network gives no map.
    """

    image: XrayImage
    attention: AttentionMap | None


def pictures(page: Page, area: Area, material: XrayMaterial, texts: Texts, *, called: bool) -> float:
    """The picture, and beside it the map over it; returns y below. ``called``: whether the finding is."""
    rows, columns = material.image.pixels.shape
    side_by_side = material.attention is not None
    width = (area.width - _GAP) / 2 if side_by_side else area.width
    height: float = min(width * rows / columns, area.height - (_BELOW if side_by_side else 6))
    width = height * columns / rows
    left, right = left_and_right(material.image.source.header)
    top = page.heading(area.x, area.y, texts("pdf.picture"), width)
    place = Area(area.x, top, width, height)
    pixels = (round(width * attention.PIXELS_PER_MM), round(height * attention.PIXELS_PER_MM))
    grey = pic.resized_float(material.image.pixels, *pixels)
    page.picture(place, (np.clip(grey, 0, 1) * 255).astype(np.uint8), texts("pdf.picture"))
    marks.sides(page, place, texts, left=left, right=right)
    if material.attention is None:
        return top + height
    place = place._replace(x=area.x + (area.width + _GAP) / 2)
    title = texts(f"pdf.{kind(located=material.attention.located, called=called)}")
    page.heading(place.x, area.y, title, width)
    attention.over(page, place, material.image.pixels, material.attention.shades, title)
    marks.sides(page, place, texts, left=left, right=right)
    below = top + height + 1.5
    attention.ramp(page, place.x, below, texts)
    words = caption(texts, material.attention, called=called)
    if not np.nanmax(material.attention.shades, initial=0) > 0:
        words = f"{texts('pdf.nowhere')}. {words}"
    return page.paragraph(place.x, below + 4.5, words, size=7, colour=QUIET, width=(area.width - _GAP) / 2)
