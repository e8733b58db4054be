"""The CT's part of the page: pictures, volumes, the largest opacities, attention, course."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from plugin.domain.findings import LungMeasurements
from plugin.results.pdf import attention, lesions, slices, volumes
from plugin.results.pdf import course as course_plot
from plugin.results.pdf.material import CtMaterial
from plugin.results.pdf.page import Area, Page
from plugin.results.summary import Earlier
from plugin.results.texts import Texts

_HEADING = 5.5
_LEAST_MAP, _MAP = 20.0, 30.0
"""Height of the attention maps in mm: at least, and where there is room."""
_BETWEEN = 8.0
_BELOW_TABLE = 2.0


@dataclass(frozen=True, kw_only=True)
class CtPart:
    """What the CT's part of the page is about; each of it may be missing. ``cut``: part of the lungs lies
    outside the images. ``margin``: how far the volumes may be off, in words. ``beside``: what further
    segmenters mark, in sentences."""

    material: CtMaterial | None
    lungs: LungMeasurements | None
    current: Earlier | None
    history: Sequence[Earlier]
    cut: bool = False
    margin: str = ""
    beside: Sequence[str] = ()


def part(page: Page, area: Area, ct: CtPart, texts: Texts) -> float:
    """Set the pictures, the measurements and the course into the room there is; returns y below.

    The table is always set. Where the room does not do for all, the pictures shrink; then the second row
    of slices goes, then the attention, then the plot, then the list of opacities, then the slices.
    """
    view = slices.View.of(ct.material, texts) if ct.material is not None else None
    listed, count = lesions.largest(ct.material, cut=ct.cut) if ct.material is not None else ([], 0)
    width = area.width - volumes.WIDTH - _BETWEEN
    words = 0.0
    if ct.material is not None and ct.material.attention:
        words = attention.words_height(page, ct.material.attention, width, texts)
    table = volumes.height(page, ct.margin, ct.beside) if ct.lungs is not None else 0.0
    plan = _planned(
        area.height, ct, view, table=table, list_height=lesions.height(listed, count), words_height=words
    )
    y = below = area.y
    if view is not None and plan.slices:
        y = below = slices.block(page, area._replace(height=plan.slices), view)
    if ct.lungs is not None:
        below = volumes.table(page, Area(area.x, y, volumes.WIDTH), ct.lungs, ct.history, texts)
        below = volumes.margin(page, Area(area.x, below, volumes.WIDTH), ct.margin)
        below = volumes.beside(page, Area(area.x, below, volumes.WIDTH), ct.beside)
        if plan.lesions:
            place = Area(area.x, below + _BELOW_TABLE, volumes.WIDTH)
            below = lesions.table(page, place, listed, count, texts)
    if ct.material is not None and plan.attention:
        place = Area(area.x + volumes.WIDTH + _BETWEEN, y, width, plan.attention)
        below = max(below, attention.projections(page, place, ct.material.attention, texts))
    if ct.current is not None and plan.course:
        below = course_plot.course(page, below, ct.current, ct.history, texts)
    return below


class _Plan(NamedTuple):
    """Heights in mm of the block of slices and of the attention maps, 0 where they are left out; whether
    the largest opacities and the course are shown."""

    slices: float
    attention: float
    lesions: bool
    course: bool


def _planned(
    height: float,
    ct: CtPart,
    view: slices.View | None,
    *,
    table: float,
    list_height: float,
    words_height: float,
) -> _Plan:
    """How much of the CT's part finds room in ``height``, and how high.

    ``table`` is what the volumes take, ``list_height`` what the list of opacities would, ``words_height``
    what stands below the maps.
    """
    free = height - table
    shown = slices.ONE_ROW if view is not None and free >= slices.ONE_ROW else 0.0
    free -= shown
    listed = bool(list_height) and ct.lungs is not None and free >= list_height + _BELOW_TABLE
    if listed:
        free -= list_height + _BELOW_TABLE
        table += list_height + _BELOW_TABLE
    course = ct.current is not None and bool(ct.history) and free >= course_plot.HEIGHT
    free -= course_plot.HEIGHT if course else 0.0
    maps = 0.0
    # The attention stands beside the table: only what is higher than that takes room.
    beside = table - _HEADING - words_height
    if view is not None and view.material.attention and beside + free >= _LEAST_MAP:
        spare = max(0.0, view.whole_row - slices.ONE_ROW)
        maps = min(_MAP, max(_LEAST_MAP, beside + free - spare))
        free -= max(0.0, maps - beside)
    return _Plan(slices=shown + free if shown else 0.0, attention=maps, lesions=listed, course=course)
