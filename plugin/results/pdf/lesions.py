"""The largest opacities of a CT: side, third of the lung, volume, and the image that shows most of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plugin.analysis.lesions import Lesion
from plugin.domain.findings import Side
from plugin.results.pdf.material import CtMaterial
from plugin.results.pdf.page import QUIET, Area, Page
from plugin.results.texts import Texts

MOST = 4
_HEADING, _ROW, _BELOW = 5.5, 3.9, 1.5
_SIZE = 7.5
_LEAST_ML = 0.1
"""What is smaller is a few voxels, and not listed."""

_THIRDS = ("lower", "middle", "upper")
_LABELS = {1: Side.RIGHT, 2: Side.LEFT}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One opacity of the list. ``third``: ``upper``, ``middle`` or ``lower``, None where the images cut the
    lungs, so that there is no telling; ``number``: the instance number of the image."""

    side: Side
    third: str | None
    volume_ml: float
    number: int


def largest(material: CtMaterial, *, cut: bool) -> tuple[list[Row], int]:
    """The largest opacities, the largest first, and how many there are in all."""
    found, count = material.opacities
    rows = [_row(lesion, material, cut=cut) for lesion in found[:MOST] if lesion.volume >= _LEAST_ML]
    return rows, count


def height(rows: list[Row], count: int) -> float:
    """The room in mm that the list takes."""
    lines = len(rows) + (1 if count > len(rows) else 0)
    return _HEADING + _ROW * lines + _BELOW if rows else 0.0


def table(page: Page, area: Area, rows: list[Row], count: int, texts: Texts) -> float:
    """The list with its heading; returns y below."""
    y = page.heading(area.x, area.y, texts("pdf.lesions"), area.width)
    for row in rows:
        page.put(area.x, y, _words(row, texts), size=_SIZE, width=area.width)
        y += _ROW
    if count > len(rows):
        words = texts("pdf.more_lesions", count=count - len(rows))
        page.put(area.x, y, words, size=_SIZE, colour=QUIET, width=area.width)
        y += _ROW
    return y + _BELOW


def _words(row: Row, texts: Texts) -> str:
    places = {
        "side": texts(f"pdf.lesion_side.{row.side}"),
        "volume": texts.volume(row.volume_ml),
        "number": row.number,
    }
    if row.third is None:
        return texts("pdf.lesion_unplaced", **places)
    return texts("pdf.lesion", level=texts(f"pdf.level.{row.third}"), **places)


def _row(lesion: Lesion, material: CtMaterial, *, cut: bool) -> Row:
    labels = material.lungs[lesion.slice][lesion.area]
    label = int(np.bincount(labels, minlength=3)[1:].argmax()) + 1
    extent = _extent(material.lungs, label)
    return Row(
        side=_LABELS[label],
        third=None if cut else _third(lesion.slice, extent, material.volume.thickness),
        volume_ml=lesion.volume,
        number=material.number(lesion.slice),
    )


def _extent(lungs: npt.NDArray[np.uint8], label: int) -> tuple[int, int]:
    """The lowest and the highest slice of a lung."""
    filled = np.flatnonzero([bool((section == label).any()) for section in lungs])
    return int(filled[0]), int(filled[-1])


def _third(index: int, lung: tuple[int, int], thickness: npt.NDArray[np.float64]) -> str:
    """The third of a lung's height in which a slice lies; slices are counted from the feet."""
    lowest, highest = lung
    tops = np.cumsum(thickness)
    base, apex = tops[lowest] - thickness[lowest], tops[highest]
    share = (tops[index] - thickness[index] / 2 - base) / (apex - base)
    return _THIRDS[min(2, int(3 * share))]
