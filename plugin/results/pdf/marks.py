"""What is written into the pictures: the patient's sides at the edges, and a scale bar."""

from __future__ import annotations

from plugin.results.pdf.page import Area, Colour, Page
from plugin.results.texts import Texts

_SIZE = 3.6
_DARK: Colour = (30, 30, 30)
_BRIGHT: Colour = (255, 255, 255)
_BAR_CM = (10, 5, 2, 1)
_LONGEST_BAR = 0.45
"""Of the picture's width."""


def sides(
    page: Page, area: Area, texts: Texts, *, left: str, right: str, top: str = "", bottom: str = ""
) -> None:
    """Mark the patient's sides: left and right in the upper corners, top and bottom in the middle of the
    edge. Each is one of the letters R, L, A, P, H, F, or empty for no mark."""
    middle = area.x + (area.width - _SIZE) / 2
    places = (
        (left, area.x, area.y),
        (right, area.x + area.width - _SIZE, area.y),
        (top, middle, area.y),
        (bottom, middle, area.y + area.height - _SIZE),
    )
    for letter, x, y in places:
        if letter:
            _label(page, Area(x, y, _SIZE), texts(f"pdf.side.{letter}"))


def scale_bar(page: Page, area: Area, shown_mm: float, texts: Texts) -> None:
    """A bar of 10, 5, 2 or 1 cm in the lower left corner; ``shown_mm``: how wide the picture is in the
    patient. None where not even 1 cm finds room."""
    per_mm = area.width / shown_mm
    length = next((cm for cm in _BAR_CM if 10 * cm * per_mm <= _LONGEST_BAR * area.width), None)
    if length is None:
        return
    wide = 10 * length * per_mm
    x, y = area.x + 1.2, area.y + area.height - 2.2
    page.box(x - 0.3, y - 0.3, wide + 0.6, 1.2, _DARK)
    page.box(x, y, wide, 0.6, _BRIGHT)
    _label(page, Area(x - 0.3, y - 3.9, 8), texts("pdf.scale_bar", length=length))


def notice(page: Page, area: Area, words: str) -> None:
    """A line of words across the upper edge of a picture."""
    page.box(area.x, area.y, area.width, _SIZE, _DARK)
    page.put(area.x, area.y + 0.4, words, size=6, colour=_BRIGHT, width=area.width, align="C")


def _label(page: Page, area: Area, words: str) -> None:
    page.box(area.x, area.y, area.width, _SIZE, _DARK)
    page.put(area.x, area.y + 0.35, words, size=6.5, colour=_BRIGHT, width=area.width, align="C")
