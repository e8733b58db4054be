"""The X-ray's part of the page: the picture beside what speaks for the finding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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

    ``attention``: float32, the picture's shape, in [0, 1], 0 outside the body, NaN where the network saw
    nothing; None where the network gives no map. ``outside``: the share (0 to 1) of the evidence that lay
    outside the body; ``located``: whether the card measured that the map locates disease.
    """

    image: XrayImage
    attention: npt.NDArray[np.float32] | None
    outside: float = 0.0
    located: bool = False


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
    title = texts(f"pdf.{kind(located=material.located, called=called)}")
    page.heading(place.x, area.y, title, width)
    attention.over(page, place, material.image.pixels, material.attention, title)
    marks.sides(page, place, texts, left=left, right=right)
    below = top + height + 1.5
    attention.ramp(page, place.x, below, texts)
    words = caption(
        texts,
        outside=material.outside,
        located=material.located,
        unseen=bool(np.isnan(material.attention).any()),
        called=called,
    )
    if not np.nanmax(material.attention, initial=0) > 0:
        words = f"{texts('pdf.nowhere')}. {words}"
    return page.paragraph(place.x, below + 4.5, words, size=7, colour=QUIET, width=(area.width - _GAP) / 2)
