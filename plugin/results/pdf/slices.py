"""The slices of a CT that show most, with contours, beside the lungs seen from the front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from plugin.results import pictures as pic
from plugin.results.pdf import marks
from plugin.results.pdf.material import CtMaterial
from plugin.results.pdf.page import INK, QUIET, WIDTH, Area, Colour, Page
from plugin.results.texts import Texts

_GAP, _CAPTION, _KEY = 2.0, 5.0, 4.2
_HEADING = 5.5
_PER_ROW = 3
_OVERVIEW = 50.0
_PIXELS_PER_MM = 9
_LEAST_SLICE = 20.0
"""Lower than so many mm, no slice is worth its place."""
_SHRINK = 0.75
"""How far slices shrink, at most, so that there is room for a second row of them."""
_GAP_BELOW = 3.0

ONE_ROW = _HEADING + _KEY + _LEAST_SLICE + _CAPTION + _GAP_BELOW
"""The least room in mm in which slices are shown."""


@dataclass(frozen=True, kw_only=True)
class View:
    """What is shown of a CT: the slices chosen for it, cropped to the lungs."""

    material: CtMaterial
    chosen: Sequence[int]
    texts: Texts

    @classmethod
    def of(cls, material: CtMaterial, texts: Texts) -> View:
        """Two rows of the slices that show most."""
        chosen = pic.telling_slices(material.lungs, material.inside, 2 * _PER_ROW)
        return cls(material=material, chosen=chosen, texts=texts)

    @cached_property
    def box(self) -> pic.Box:
        """What every slice is cropped to: the lungs with a margin."""
        return pic.lungs_box(self.material.lungs, self.material.volume.spacing[1:], margin=12)

    @property
    def shown_mm(self) -> tuple[float, float]:
        """Height and width of the cropped slices in the patient, in mm."""
        box, (_, dy, dx) = self.box, self.material.volume.spacing
        return (box.bottom - box.top) * dy, (box.right - box.left) * dx

    @property
    def ratio(self) -> float:
        """Height of the cropped slices over their width."""
        height, width = self.shown_mm
        return height / width

    @property
    def beside(self) -> bool:
        """Whether the overview stands beside the slices."""
        return bool(self.material.lungs.any())

    @property
    def width(self) -> float:
        """Width of the page that the slices have, in mm."""
        return WIDTH - (_OVERVIEW + 4 if self.beside else 0)

    @property
    def whole_row(self) -> float:
        """Room in mm for one row of slices that take their whole columns."""
        return _HEADING + _KEY + self.full + _CAPTION + _GAP_BELOW

    @property
    def full(self) -> float:
        """Height in mm of a slice that takes its whole column."""
        return (self.width - (_PER_ROW - 1) * _GAP) / _PER_ROW * self.ratio

    def words(self, index: int) -> str:
        """What a slice shows: its instance number and the area of findings in it, if any."""
        volume, inside = self.material.volume, self.material.inside[index]
        area = inside.sum() * volume.spacing[1] * volume.spacing[2] / 100
        number = self.material.number(index)
        if not area:
            return self.texts("pdf.slice_clear", number=number)
        return self.texts("pdf.slice", number=number, area=self.texts.number(float(area), 1))


def block(page: Page, area: Area, view: View) -> float:
    """The slices that show most beside the coronal overview; returns y below."""
    room = area.height - _HEADING - _GAP_BELOW
    rows = room - _KEY
    tall = min(view.full, rows / 2 - _CAPTION)
    if len(view.chosen) > _PER_ROW and tall < max(_SHRINK * view.full, _LEAST_SLICE):
        fewer = pic.telling_slices(view.material.lungs, view.material.inside, _PER_ROW)
        view = replace(view, chosen=fewer)
    if len(view.chosen) <= _PER_ROW:
        tall = min(view.full, rows - _CAPTION)
    spread = "pdf.slices_spread" if view.beside else "pdf.slices_plain"
    title = view.texts("pdf.slices" if view.material.inside.any() else spread)
    top = page.heading(area.x, area.y, title, view.width)
    _key(page, area.x, top - 0.8, view)
    below = _slices(page, Area(area.x, top + _KEY, view.width, tall), view)
    if view.beside:
        x = area.x + area.width - _OVERVIEW
        page.heading(x, area.y, view.texts("pdf.overview"), _OVERVIEW)
        below = max(below, _overview(page, Area(x, top, _OVERVIEW, room), view))
    return below + _GAP_BELOW


def _key(page: Page, x: float, y: float, view: View) -> None:
    """What the contours' colours mean, and the window."""
    texts, (centre, width) = view.texts, pic.LUNG_WINDOW
    if view.beside:
        keys: tuple[tuple[str, Colour], ...] = (
            ("right", pic.RIGHT_COLOUR),
            ("left", pic.LEFT_COLOUR),
            ("findings", pic.FINDINGS_COLOUR),
        )
        for key, colour in keys:
            words = texts(f"pdf.key.{key}")
            page.box(x, y + 0.9, 2.2, 2.2, colour)
            page.put(x + 3, y, words, size=7, colour=QUIET, width=24)
            x += 5.5 + page.get_string_width(words)
    shown = texts("pdf.window", centre=texts.signed(centre), width=texts.number(width))
    page.put(x, y, shown, size=7, colour=QUIET, width=50)


def _slices(page: Page, area: Area, view: View) -> float:
    """The slices in rows of three, each as high as ``area``, in columns that share its width; returns y
    below."""
    volume, lungs = view.material.volume, view.material.lungs
    box, inside = view.box, view.material.inside
    rows, columns = slice(box.top, box.bottom), slice(box.left, box.right)
    tall, wide = area.height, area.height / view.ratio
    step = (area.width + _GAP) / _PER_ROW
    for number, index in enumerate(view.chosen):
        line, column = divmod(number, _PER_ROW)
        place = Area(area.x + column * step, area.y + line * (tall + _CAPTION), wide, tall)
        picture = pic.slice_picture(
            volume.hu[index, rows, columns],
            lungs[index, rows, columns],
            inside[index, rows, columns],
            pixel=volume.spacing[1:],
            width=round(wide * _PIXELS_PER_MM),
        )
        words = view.words(index)
        page.picture(place, picture, words)
        page.put(place.x, place.y + tall + 0.6, words, size=7, colour=QUIET, width=step - _GAP)
        marks.sides(page, place, view.texts, left="R", right="L")
        if number == 0:
            marks.scale_bar(page, place, view.shown_mm[1], view.texts)
    lines = -(-len(view.chosen) // _PER_ROW)
    return area.y + lines * (tall + _CAPTION)


def _overview(page: Page, area: Area, view: View) -> float:
    """The coronal picture with a tick for each slice shown, its words below; returns y below."""
    volume, columns = view.material.volume, slice(view.box.left, view.box.right)
    words = view.texts("pdf.overview_words")
    if pic.overview_outline(view.material.lungs, volume.spacing)[1].any():
        words += " " + view.texts("pdf.overview_gaps")
    lines = page.count_lines(words, size=7, width=area.width)
    tall = area.height - lines * page.line_height(7) - 0.8
    slices = volume.hu.shape[0]
    shown_mm = (view.box.right - view.box.left) * volume.spacing[2]
    ratio = slices * volume.spacing[0] / shown_mm
    width = min(area.width - 3, tall / ratio)
    place = Area(area.x, area.y, width, width * ratio)
    picture = pic.coronal_overview(
        view.material.lungs[:, :, columns],
        view.material.inside[:, :, columns],
        spacing=volume.spacing,
        height=round(place.height * _PIXELS_PER_MM),
    )
    page.picture(place, picture, view.texts("pdf.overview"))
    marks.sides(page, place, view.texts, left="R", right="L")
    page.set_draw_color(*INK)
    page.set_line_width(0.35)
    for index in view.chosen:
        level = place.y + place.height * (1 - (index + 0.5) / slices)
        page.line(place.x + width + 0.4, level, place.x + width + 2.4, level)
    below = place.y + place.height + 0.8
    return page.paragraph(area.x, below, words, size=7, colour=QUIET, width=area.width)
