"""The CT's part of the page: slices with contours, coronal overview, volumes, attention, course."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from plugin.imaging import CtVolume
from plugin.results import pictures as pic
from plugin.results.findings import LungMeasurements
from plugin.results.pdf_page import INK, LEFT, LINE, QUIET, WIDTH, Area, Page
from plugin.results.texts import Texts

_GAP = 2.0
_OVERVIEW = 50.0
_TALLEST = 72.0
_SLICES = 6
_PIXELS_PER_MM = 9


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

    def words(self, index: int) -> str:
        """What a slice shows: its instance number and the area of findings in it."""
        volume = self.material.volume
        area = self.inside[index].sum() * volume.spacing[1] * volume.spacing[2] / 100
        number = volume.sources[index].header.get("InstanceNumber") or index + 1
        return self.texts("pdf.slice", number=number, area=self.texts.number(float(area), 1))

    def sides(self, page: Page, area: Area) -> None:
        """Mark right and left in the upper corners of a picture."""
        for mark, x, align in (("R", area.x + 0.8, "L"), ("L", area.x + area.width - 4.8, "R")):
            words = self.texts(f"pdf.side.{mark}")
            page.put(x, area.y + 0.8, words, size=7, colour=(255, 255, 255), width=4, align=align)


def pictures(page: Page, y: float, material: CtMaterial, texts: Texts) -> float:
    """The slices that show most beside the coronal overview; returns y below."""
    inside = material.findings & (material.lungs > 0)
    chosen = pic.telling_slices(material.lungs, inside, _SLICES)
    view = _View(material=material, inside=inside, chosen=chosen, texts=texts)
    width = WIDTH - _OVERVIEW - 4
    top = page.heading(LEFT, y, texts("pdf.slices"), width)
    below = _slices(page, Area(LEFT, top, width), view)
    x = LEFT + WIDTH - _OVERVIEW
    page.heading(x, y, texts("pdf.overview"), _OVERVIEW)
    return max(below, _overview(page, Area(x, top, _OVERVIEW), view)) + 3


def _slices(page: Page, area: Area, view: _View) -> float:
    volume, lungs = view.material.volume, view.material.lungs
    pixel = volume.spacing[1:]
    box = pic.lungs_box(lungs, pixel, margin=12)
    rows, columns = slice(box.top, box.bottom), slice(box.left, box.right)
    wide = (area.width - 2 * _GAP) / 3
    tall = wide * ((box.bottom - box.top) * pixel[0]) / ((box.right - box.left) * pixel[1])
    for number, index in enumerate(view.chosen):
        line, column = divmod(number, 3)
        place = Area(area.x + column * (wide + _GAP), area.y + line * (tall + 5.5), wide, tall)
        picture = pic.slice_picture(
            volume.hu[index, rows, columns],
            lungs[index, rows, columns],
            view.inside[index, rows, columns],
            pixel=pixel,
            width=round(wide * _PIXELS_PER_MM),
        )
        words = view.words(index)
        page.picture(place, picture, words)
        page.put(place.x, place.y + tall + 0.6, words, size=7, colour=QUIET, width=wide)
        view.sides(page, place)
    lines = (len(view.chosen) + 2) // 3
    return area.y + lines * (tall + 5.5)


def _overview(page: Page, area: Area, view: _View) -> float:
    """The coronal picture with a tick for each slice shown."""
    volume = view.material.volume
    slices, _, columns = volume.hu.shape
    ratio = slices * volume.spacing[0] / (columns * volume.spacing[2])
    width = min(area.width - 3, _TALLEST / ratio)
    place = Area(area.x, area.y, width, width * ratio)
    picture = pic.coronal_overview(
        view.material.lungs,
        view.inside,
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


def measurements(page: Page, y: float, lungs: LungMeasurements, material: object, texts: Texts) -> float:
    """The table of volumes, beside it the classifiers' attention; returns y below."""
    width = 104.0
    below = _table(page, y, width, lungs, texts)
    x = LEFT + width + 6
    if isinstance(material, CtMaterial) and material.attention:
        area = Area(x, y, LEFT + WIDTH - x)
        below = max(below, _attention(page, area, material.attention, texts))
    return below + 3


def _table(page: Page, y: float, width: float, lungs: LungMeasurements, texts: Texts) -> float:
    page.heading(LEFT, y, texts("pdf.volumes"), width)
    y += 6
    first = 34.0
    each = (width - first) / 3
    places = [LEFT + first + each * number for number in range(3)]
    for x, key in zip(places, ("lung_ml", "findings_ml", "share_percent"), strict=True):
        page.put(x, y, texts(f"pdf.column.{key}"), size=7.5, colour=QUIET, width=each, align="R")
    y += 5
    rows = (
        (texts("segment.lung-right"), pic.RIGHT_COLOUR, lungs.right),
        (texts("segment.lung-left"), pic.LEFT_COLOUR, lungs.left),
        (texts("segment.both"), None, lungs),
    )
    for words, colour, measured in rows:
        page.rule(y - 0.4, LEFT, LEFT + width, LINE)
        bold = colour is None
        if colour is not None:
            page.box(LEFT, y + 1.1, 2.4, 2.4, colour)
        page.put(LEFT + 4, y + 0.4, words, bold=bold, width=first - 4)
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
