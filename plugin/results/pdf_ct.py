"""The CT's part of the page: slices with contours, coronal overview, volumes, attention, course."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from plugin.imaging import CtVolume
from plugin.results import pdf_course as course_plot
from plugin.results import pictures as pic
from plugin.results.findings import LungMeasurements
from plugin.results.pdf_page import INK, LINE, QUIET, Area, Page
from plugin.results.summary import Earlier
from plugin.results.texts import Texts

_GAP, _HEADING, _CAPTION = 2.0, 5.5, 5.5
_PER_ROW = 3
_OVERVIEW = 50.0
_TABLE_WIDTH = 104.0
_PIXELS_PER_MM = 9
_MARK = 4.0
# Heights of the blocks in mm: one row of slices, the table, the row with the attention beside it.
_ONE_ROW, _TABLE, _ATTENTION = 50.0, 30.0, 43.0


@dataclass(frozen=True, kw_only=True)
class ProjectionAttention:
    """What a CT classifier saw and where it looked, both as displayed.

    ``projection``: ``axial`` (rows towards posterior, columns towards the patient's left) or
    ``sagittal`` (rows from head to feet, columns towards posterior). ``picture``: float32 (rows,
    columns) in [0, 1]; ``attention``: float32 of the same shape in [0, 1], NaN where the network saw
    nothing. ``size``: (height, width) in mm.
    """

    projection: str
    picture: npt.NDArray[np.float32]
    attention: npt.NDArray[np.float32]
    size: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class CtMaterial:
    """What the pictures of a CT are made of: the volume and its masks, all canonical.

    ``lungs``: uint8 (slices, rows, columns), 0 none, 1 right, 2 left; ``findings``: bool, same shape.
    """

    volume: CtVolume
    lungs: npt.NDArray[np.uint8]
    findings: npt.NDArray[np.bool_]
    attention: tuple[ProjectionAttention, ...] = field(default=())


@dataclass(frozen=True, kw_only=True)
class _View:
    """What is shown of a CT: the findings inside the lungs, and the slices chosen for it."""

    material: CtMaterial
    inside: npt.NDArray[np.bool_]
    chosen: Sequence[int]
    texts: Texts

    @property
    def box(self) -> pic.Box:
        """What every slice is cropped to: the lungs with a margin."""
        return pic.lungs_box(self.material.lungs, self.material.volume.spacing[1:], margin=12)

    @property
    def ratio(self) -> float:
        """Height of the cropped slices over their width, in mm."""
        box, (_, dy, dx) = self.box, self.material.volume.spacing
        return (box.bottom - box.top) * dy / ((box.right - box.left) * dx)

    def words(self, index: int) -> str:
        """What a slice shows: its instance number and the area of findings in it, if any."""
        volume = self.material.volume
        area = self.inside[index].sum() * volume.spacing[1] * volume.spacing[2] / 100
        number = volume.sources[index].header.get("InstanceNumber") or index + 1
        if not area:
            return self.texts("pdf.slice_clear", number=number)
        return self.texts("pdf.slice", number=number, area=self.texts.number(float(area), 1))

    def sides(self, page: Page, area: Area) -> None:
        """Mark right and left in the upper corners of a picture, readable on whatever is there."""
        for mark, x in (("R", area.x), ("L", area.x + area.width - _MARK)):
            page.box(x, area.y, _MARK, _MARK, (30, 30, 30))
            words = self.texts(f"pdf.side.{mark}")
            page.put(x, area.y + 0.5, words, size=7, colour=(255, 255, 255), width=_MARK, align="C")


@dataclass(frozen=True, kw_only=True)
class CtPart:
    """What the CT's part of the page is about; each of it may be missing."""

    material: CtMaterial | None
    lungs: LungMeasurements | None
    current: Earlier | None
    history: Sequence[Earlier]


def part(page: Page, area: Area, ct: CtPart, texts: Texts) -> float:
    """Set the pictures, the measurements and the course into the room there is; returns y below.

    Where it does not do for all, first the second row of slices goes, then the attention, then the plot.
    """
    attention = ct.material.attention if ct.material is not None else ()
    table = _TABLE if ct.lungs is not None else 0.0
    needed = _ONE_ROW + table
    plot = ct.current is not None and bool(ct.history) and area.height >= needed + course_plot.HEIGHT
    needed += course_plot.HEIGHT if plot else 0.0
    looked = bool(attention) and area.height >= needed - table + _ATTENTION
    needed += _ATTENTION - table if looked else 0.0
    y = area.y
    if ct.material is not None:
        y = _pictures(page, area._replace(height=_ONE_ROW + area.height - needed), ct.material, texts)
    below = y
    if ct.lungs is not None:
        below = _table(page, Area(area.x, y, _TABLE_WIDTH), ct.lungs, texts)
    if looked:
        x = area.x + _TABLE_WIDTH + 8
        place = Area(x, y, area.x + area.width - x)
        below = max(below, _attention(page, place, attention, texts))
    if plot and ct.current is not None:
        below = course_plot.course(page, below + 3, ct.current, ct.history, texts)
    return below


def _pictures(page: Page, area: Area, material: CtMaterial, texts: Texts) -> float:
    """The slices that show most beside the coronal overview; returns y below."""
    inside = material.findings & (material.lungs > 0)
    chosen = pic.telling_slices(material.lungs, inside, 2 * _PER_ROW)
    beside = bool(material.lungs.any())
    width = area.width - (_OVERVIEW + 4 if beside else 0)
    view = _View(material=material, inside=inside, chosen=chosen, texts=texts)
    ratio = view.ratio
    tall = min((width - 2 * _GAP) / _PER_ROW * ratio, area.height - _HEADING - _CAPTION - 3)
    if len(chosen) > _PER_ROW and 2 * (tall + _CAPTION) + _HEADING + 3 > area.height:
        fewer = pic.telling_slices(material.lungs, inside, _PER_ROW)
        view = replace(view, chosen=fewer)
    key = "pdf.slices" if inside.any() else "pdf.slices_spread" if beside else "pdf.slices_plain"
    top = page.heading(area.x, area.y, texts(key), width)
    below = _slices(page, Area(area.x, top, width, tall), view)
    if beside:
        x = area.x + area.width - _OVERVIEW
        page.heading(x, area.y, texts("pdf.overview"), _OVERVIEW)
        room = area.height - _HEADING - 12
        below = max(below, _overview(page, Area(x, top, _OVERVIEW, room), view))
    return below + 3


def _slices(page: Page, area: Area, view: _View) -> float:
    """The slices in rows of three, each as high as ``area``; returns y below."""
    volume, lungs = view.material.volume, view.material.lungs
    box = view.box
    rows, columns = slice(box.top, box.bottom), slice(box.left, box.right)
    tall, wide = area.height, area.height / view.ratio
    for number, index in enumerate(view.chosen):
        line, column = divmod(number, _PER_ROW)
        place = Area(area.x + column * (wide + _GAP), area.y + line * (tall + _CAPTION), wide, tall)
        picture = pic.slice_picture(
            volume.hu[index, rows, columns],
            lungs[index, rows, columns],
            view.inside[index, rows, columns],
            pixel=volume.spacing[1:],
            width=round(wide * _PIXELS_PER_MM),
        )
        words = view.words(index)
        page.picture(place, picture, words)
        page.put(place.x, place.y + tall + 0.6, words, size=7, colour=QUIET, width=wide)
        view.sides(page, place)
    lines = -(-len(view.chosen) // _PER_ROW)
    return area.y + lines * (tall + _CAPTION)


def _overview(page: Page, area: Area, view: _View) -> float:
    """The coronal picture with a tick for each slice shown; returns y below."""
    volume, columns = view.material.volume, slice(view.box.left, view.box.right)
    slices = volume.hu.shape[0]
    ratio = slices * volume.spacing[0] / ((view.box.right - view.box.left) * volume.spacing[2])
    width = min(area.width - 3, area.height / ratio)
    place = Area(area.x, area.y, width, width * ratio)
    picture = pic.coronal_overview(
        view.material.lungs[:, :, columns],
        view.inside[:, :, columns],
        spacing=volume.spacing,
        height=round(place.height * _PIXELS_PER_MM),
    )
    page.picture(place, picture, view.texts("pdf.overview"))
    view.sides(page, place)
    page.set_draw_color(*INK)
    page.set_line_width(0.35)
    for index in view.chosen:
        level = place.y + place.height * (1 - (index + 0.5) / slices)
        page.line(place.x + width + 0.4, level, place.x + width + 2.4, level)
    below = place.y + place.height + 0.8
    words = view.texts("pdf.overview_words")
    return page.paragraph(area.x, below, words, size=7, colour=QUIET, width=area.width)


def _table(page: Page, area: Area, lungs: LungMeasurements, texts: Texts) -> float:
    """Volumes and percentages of each lung and of both; returns y below."""
    y = page.heading(area.x, area.y, texts("pdf.volumes"), area.width)
    first = 34.0
    each = (area.width - first) / 3
    places = [area.x + first + each * number for number in range(3)]
    for x, key in zip(places, ("lung_ml", "findings_ml", "share_percent"), strict=True):
        page.put(x, y, texts(f"pdf.column.{key}"), size=7.5, colour=QUIET, width=each, align="R")
    y += 5
    rows = (
        (texts("segment.lung-right"), pic.RIGHT_COLOUR, lungs.right),
        (texts("segment.lung-left"), pic.LEFT_COLOUR, lungs.left),
        (texts("segment.lungs"), None, lungs),
    )
    for words, colour, measured in rows:
        page.rule(y - 0.4, area.x, area.x + area.width, LINE)
        bold = colour is None
        if colour is not None:
            page.box(area.x, y + 1.1, 2.4, 2.4, colour)
        page.put(area.x + 4, y + 0.4, words, bold=bold, width=first - 4)
        values = (
            texts.number(measured.volume_ml),
            texts.number(measured.findings_ml),
            texts.percent(measured.percent, 1),
        )
        for x, value in zip(places, values, strict=True):
            page.put(x, y + 0.4, value, bold=bold, width=each, align="R")
        y += 5.6
    return y


def _attention(page: Page, area: Area, attention: Sequence[ProjectionAttention], texts: Texts) -> float:
    """Where each CT classifier looked, over the projection it read."""
    below = top = page.heading(area.x, area.y, texts("pdf.attention"), area.width)
    each = (area.width - _GAP * (len(attention) - 1)) / len(attention)
    for number, seen in enumerate(attention):
        height, wide = seen.size
        scale = min(each / wide, 30.0 / height)
        place = Area(area.x + number * (each + _GAP), top, wide * scale, height * scale)
        pixels = (round(place.width * _PIXELS_PER_MM), round(place.height * _PIXELS_PER_MM))
        picture = pic.heat_over(
            pic.resized_float(seen.picture, *pixels), pic.resized_float(seen.attention, *pixels)
        )
        words = texts(f"projection.{seen.projection}")
        page.picture(place, picture, words)
        page.put(place.x, top + place.height + 0.6, words, size=7, colour=QUIET, width=each)
        below = max(below, top + place.height + 4.5)
    return below
