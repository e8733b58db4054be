"""The CT's part of the page: slices with contours, coronal overview, volumes, attention, course."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from plugin.dicom.imaging import CtVolume
from plugin.domain.findings import LungMeasurements
from plugin.results import pictures as pic
from plugin.results.pdf import course as course_plot
from plugin.results.pdf import volumes
from plugin.results.pdf.page import INK, QUIET, WIDTH, Area, Page
from plugin.results.summary import Earlier
from plugin.results.texts import Texts

_GAP, _HEADING, _CAPTION = 2.0, 5.5, 5.5
_PER_ROW = 3
_OVERVIEW = 50.0
_PIXELS_PER_MM = 9
_MARK, _ON_MARK = 4.0, (255, 255, 255)
_LEAST_SLICE = 20.0
"""Lower than so many mm, no slice is worth its place; the same for an attention map."""
_SHRINK = 0.75
"""How far slices shrink, at most, so that there is room for a second row of them."""
_ATTENTION = 30.0
"""Height of the attention maps in mm, where there is room."""
_GAP_BELOW = 3.0
_ONE_ROW = _HEADING + _LEAST_SLICE + _CAPTION + _GAP_BELOW


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

    @property
    def beside(self) -> bool:
        """Whether the overview stands beside the slices."""
        return bool(self.material.lungs.any())

    @property
    def width(self) -> float:
        """Width of the page that the slices have, in mm."""
        return WIDTH - (_OVERVIEW + 4 if self.beside else 0)

    @property
    def full(self) -> float:
        """Height in mm of a slice that takes its whole column."""
        return (self.width - (_PER_ROW - 1) * _GAP) / _PER_ROW * self.ratio

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
            page.put(x, area.y + 0.5, words, size=7, colour=_ON_MARK, width=_MARK, align="C")


@dataclass(frozen=True, kw_only=True)
class CtPart:
    """What the CT's part of the page is about; each of it may be missing."""

    material: CtMaterial | None
    lungs: LungMeasurements | None
    current: Earlier | None
    history: Sequence[Earlier]


def part(page: Page, area: Area, ct: CtPart, texts: Texts) -> float:
    """Set the pictures, the measurements and the course into the room there is; returns y below.

    The table is always set. Where the room does not do for all, the pictures shrink; then the second row
    of slices goes, then the attention, then the plot, then the slices.
    """
    view = _view(ct.material, texts) if ct.material is not None else None
    plan = _planned(area.height, ct, view)
    y = below = area.y
    if view is not None and plan.slices:
        y = below = _pictures(page, area._replace(height=plan.slices), view)
    if ct.lungs is not None:
        below = volumes.table(page, Area(area.x, y, volumes.WIDTH), ct.lungs, texts)
    if ct.material is not None and plan.attention:
        x = area.x + volumes.WIDTH + 8
        place = Area(x, y, area.x + area.width - x, plan.attention)
        below = max(below, _attention(page, place, ct.material.attention, texts))
    if ct.current is not None and plan.course:
        below = course_plot.course(page, below, ct.current, ct.history, texts)
    return below


class _Plan(NamedTuple):
    """Heights in mm of the block of slices and of the attention maps, 0 where they are left out."""

    slices: float
    attention: float
    course: bool


def _planned(height: float, ct: CtPart, view: _View | None) -> _Plan:
    """How much of the CT's part finds room in ``height``, and how high."""
    table = volumes.HEIGHT if ct.lungs is not None else 0.0
    free = height - table
    slices = _ONE_ROW if view is not None and free >= _ONE_ROW else 0.0
    free -= slices
    course = ct.current is not None and bool(ct.history) and free >= course_plot.HEIGHT
    free -= course_plot.HEIGHT if course else 0.0
    attention = 0.0
    # The attention stands beside the table: only what is higher than that takes room.
    beside = table - _HEADING - _CAPTION
    if view is not None and view.material.attention and beside + free >= _LEAST_SLICE:
        whole_row = max(0.0, _HEADING + view.full + _CAPTION + _GAP_BELOW - _ONE_ROW)
        attention = min(_ATTENTION, max(_LEAST_SLICE, beside + free - whole_row))
        free -= max(0.0, attention - beside)
    return _Plan(slices=slices + free if slices else 0.0, attention=attention, course=course)


def _view(material: CtMaterial, texts: Texts) -> _View:
    inside = material.findings & (material.lungs > 0)
    chosen = pic.telling_slices(material.lungs, inside, 2 * _PER_ROW)
    return _View(material=material, inside=inside, chosen=chosen, texts=texts)


def _pictures(page: Page, area: Area, view: _View) -> float:
    """The slices that show most beside the coronal overview; returns y below."""
    room = area.height - _HEADING - _GAP_BELOW
    tall = min(view.full, room / 2 - _CAPTION)
    if len(view.chosen) > _PER_ROW and tall < max(_SHRINK * view.full, _LEAST_SLICE):
        fewer = pic.telling_slices(view.material.lungs, view.inside, _PER_ROW)
        view = replace(view, chosen=fewer)
    if len(view.chosen) <= _PER_ROW:
        tall = min(view.full, room - _CAPTION)
    spread = "pdf.slices_spread" if view.beside else "pdf.slices_plain"
    title = view.texts("pdf.slices" if view.inside.any() else spread)
    top = page.heading(area.x, area.y, title, view.width)
    below = _slices(page, Area(area.x, top, view.width, tall), view)
    if view.beside:
        x = area.x + area.width - _OVERVIEW
        page.heading(x, area.y, view.texts("pdf.overview"), _OVERVIEW)
        below = max(below, _overview(page, Area(x, top, _OVERVIEW, room), view))
    return below + _GAP_BELOW


def _slices(page: Page, area: Area, view: _View) -> float:
    """The slices in rows of three, each as high as ``area``, in columns that share its width; returns y
    below."""
    volume, lungs = view.material.volume, view.material.lungs
    box = view.box
    rows, columns = slice(box.top, box.bottom), slice(box.left, box.right)
    tall, wide = area.height, area.height / view.ratio
    step = (area.width + _GAP) / _PER_ROW
    for number, index in enumerate(view.chosen):
        line, column = divmod(number, _PER_ROW)
        place = Area(area.x + column * step, area.y + line * (tall + _CAPTION), wide, tall)
        picture = pic.slice_picture(
            volume.hu[index, rows, columns],
            lungs[index, rows, columns],
            view.inside[index, rows, columns],
            pixel=volume.spacing[1:],
            width=round(wide * _PIXELS_PER_MM),
        )
        words = view.words(index)
        page.picture(place, picture, words)
        page.put(place.x, place.y + tall + 0.6, words, size=7, colour=QUIET, width=step - _GAP)
        view.sides(page, place)
    lines = -(-len(view.chosen) // _PER_ROW)
    return area.y + lines * (tall + _CAPTION)


def _overview(page: Page, area: Area, view: _View) -> float:
    """The coronal picture with a tick for each slice shown, its words below; returns y below."""
    volume, columns = view.material.volume, slice(view.box.left, view.box.right)
    words = view.texts("pdf.overview_words")
    if pic.overview_outline(view.material.lungs, volume.spacing)[1].any():
        words += " " + view.texts("pdf.overview_gaps")
    lines = page.count_lines(words, size=7, width=area.width)
    tall = area.height - lines * page.line_height(7) - 0.8
    slices = volume.hu.shape[0]
    ratio = slices * volume.spacing[0] / ((view.box.right - view.box.left) * volume.spacing[2])
    width = min(area.width - 3, tall / ratio)
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
    return page.paragraph(area.x, below, words, size=7, colour=QUIET, width=area.width)


def _attention(page: Page, area: Area, attention: Sequence[ProjectionAttention], texts: Texts) -> float:
    """Where each CT classifier looked, over the projection it read, as high as ``area`` at most."""
    below = top = page.heading(area.x, area.y, texts("pdf.attention"), area.width)
    each = (area.width - _GAP * (len(attention) - 1)) / len(attention)
    for number, seen in enumerate(attention):
        height, wide = seen.size
        scale = min(each / wide, area.height / height)
        place = Area(area.x + number * (each + _GAP), top, wide * scale, height * scale)
        pixels = (round(place.width * _PIXELS_PER_MM), round(place.height * _PIXELS_PER_MM))
        picture = pic.heat_over(
            pic.resized_float(seen.picture, *pixels), pic.resized_float(seen.attention, *pixels)
        )
        words = texts(f"projection.{seen.projection}")
        page.picture(place, picture, words)
        if not np.nanmax(seen.attention, initial=0) > 0:
            page.box(place.x, place.y, place.width, _MARK, (30, 30, 30))
            none = texts("pdf.nowhere")
            page.put(place.x, place.y + 0.5, none, size=6, colour=_ON_MARK, width=place.width, align="C")
        # A narrow map is a low one, which leaves room for a second line of words.
        end = page.paragraph(place.x, top + place.height + 0.6, words, size=7, colour=QUIET, width=each)
        below = max(below, end, top + place.height + _CAPTION)
    return below
