"""A classifier's evidence as colour over the picture that it read, and what the colours mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plugin.analysis.attention import AttentionMap
from plugin.results import pictures as pic
from plugin.results.attention import caption, kind
from plugin.results.pdf import marks
from plugin.results.pdf.page import QUIET, Area, Page
from plugin.results.texts import Texts

PIXELS_PER_MM = 9
_GAP, _BELOW_PICTURE = 2.0, 4.6
_WORDS_SIZE = 7.0
_RAMP = Area(11, 0.4, 26, 2.4)

_AXIAL = {"left": "R", "right": "L", "top": "A", "bottom": "P"}
_EDGES = {
    "axial": _AXIAL,
    "volume": _AXIAL,
    "sagittal": {"left": "A", "right": "P", "top": "H", "bottom": "F"},
}
"""The patient's sides at the edges of each projection; a volume is looked at along the body."""


@dataclass(frozen=True, kw_only=True)
class ProjectionAttention:
    """The picture that a CT classifier read, and its evidence for the finding, both as displayed.

    ``projection``: ``axial`` or ``volume`` (rows towards posterior, columns towards the patient's left) or
    ``sagittal`` (rows from head to feet, columns towards posterior). ``picture``: float32 (rows,
    columns) in [0, 1]; ``attention``: of the same shape. ``size``: (height, width) in mm. ``called``: whether
    the classifier calls its finding.
    """

    projection: str
    picture: npt.NDArray[np.float32]
    attention: AttentionMap
    size: tuple[float, float]
    called: bool = True


def projections(page: Page, area: Area, maps: Sequence[ProjectionAttention], texts: Texts) -> float:
    """The maps of the CT classifiers side by side, as high as ``area`` at most; returns y below."""
    told = _told(maps)
    located, called = all(seen.attention.located for seen in told), any(seen.called for seen in told)
    title = texts(f"pdf.{kind(located=located, called=called)}")
    below = top = page.heading(area.x, area.y, title, area.width)
    each = (area.width - _GAP * (len(maps) - 1)) / len(maps)
    for number, seen in enumerate(maps):
        height, wide = seen.size
        scale = min(each / wide, area.height / height)
        place = Area(area.x + number * (each + _GAP), top, wide * scale, height * scale)
        words = texts(f"projection.{seen.projection}")
        over(page, place, seen.picture, seen.attention.shades, words)
        marks.sides(page, place, texts, **_EDGES[seen.projection])
        if not np.nanmax(seen.attention.shades, initial=0) > 0:
            marks.notice(page, place._replace(y=place.y + place.height / 2), texts("pdf.nowhere"))
        end = page.paragraph(
            place.x, top + place.height + 0.6, words, size=_WORDS_SIZE, colour=QUIET, width=each
        )
        below = max(below, end)
    ramp(page, area.x, below + 0.4, texts)
    return page.paragraph(
        area.x, below + 4.4, caption_of(maps, texts), size=6.5, colour=QUIET, width=area.width
    )


def words_height(page: Page, maps: Sequence[ProjectionAttention], width: float, texts: Texts) -> float:
    """The room in mm that the words below the maps take."""
    each = (width - _GAP * (len(maps) - 1)) / len(maps)
    names = max(
        page.count_lines(texts(f"projection.{seen.projection}"), size=_WORDS_SIZE, width=each)
        for seen in maps
    )
    lines = page.count_lines(caption_of(maps, texts), size=6.5, width=width)
    return 5.0 + names * page.line_height(_WORDS_SIZE) + lines * page.line_height(6.5)


def caption_of(maps: Sequence[ProjectionAttention], texts: Texts) -> str:
    """How to read several maps together: those that locate disease, then the others if there are any."""
    told = _told(maps)
    words = caption(texts, *(seen.attention for seen in maps), called=any(seen.called for seen in told))
    others = [seen.projection for seen in maps if seen.attention.located != told[0].attention.located]
    names = [texts(f"projection.{projection}") for projection in dict.fromkeys(others)]
    return " ".join([words, *(texts("attention.beside", where=n[:1].upper() + n[1:]) for n in names)])


def _told(maps: Sequence[ProjectionAttention]) -> list[ProjectionAttention]:
    """The maps that the title and the first words are about: those that locate disease, else all."""
    return [seen for seen in maps if seen.attention.located] or list(maps)


def over(
    page: Page,
    place: Area,
    picture: npt.NDArray[np.float32],
    attention: npt.NDArray[np.float32],
    words: str,
) -> None:
    """A picture in [0, 1] with attention in [0, 1] over it."""
    pixels = (round(place.width * PIXELS_PER_MM), round(place.height * PIXELS_PER_MM))
    shown = pic.heat_over(pic.resized_float(picture, *pixels), pic.resized_float(attention, *pixels))
    page.picture(place, shown, words)


def ramp(page: Page, x: float, y: float, texts: Texts) -> None:
    """The colours from weak to strong, as they look over a middle grey."""
    values = np.repeat(np.linspace(0, 1, 200, dtype=np.float32)[None], 12, axis=0)
    colours = pic.heat_over(np.full_like(values, 0.5), values)
    page.put(x, y, texts("pdf.little"), size=_WORDS_SIZE, colour=QUIET, width=11)
    place = Area(x + _RAMP.x, y + _RAMP.y, _RAMP.width, _RAMP.height)
    page.picture(place, colours, texts("pdf.ramp"))
    page.put(x + 39, y, texts("pdf.much"), size=_WORDS_SIZE, colour=QUIET, width=12)
