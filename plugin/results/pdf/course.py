"""The course over time: the percentage of lung involved against the date, as a small plot."""

from __future__ import annotations

import math
from collections.abc import Sequence

from plugin.results.pdf.page import ACCENT, INK, LEFT, LINE, QUIET, WIDTH, Page
from plugin.results.summary import Earlier
from plugin.results.texts import Texts

HEIGHT = 36.0
"""Room that the plot takes with its heading, dates and the gap above it, in mm."""

_HEIGHT = 18.0
_LABEL = 17.0


def course(page: Page, y: float, current: Earlier, history: Sequence[Earlier], texts: Texts) -> float:
    """Plot of the earlier results and of this one (filled, last). Returns y below.

    ``current`` is this result. The change in words is part of the page's paragraph.
    """
    y = page.heading(LEFT, y + 3, texts("pdf.course")) + 3.5
    points = [*sorted(history, key=lambda earlier: earlier.day), current]
    ceiling = _ceiling(max(point.percent for point in points))
    left, width = LEFT + 12, WIDTH - 12
    first, last = min(p.day for p in points), max(p.day for p in points)
    span = max((last - first).days, 1)
    run = width - 2 * _LABEL
    places = [
        (left + _LABEL + run * (p.day - first).days / span, y + _HEIGHT * (1 - p.percent / ceiling))
        for p in points
    ]
    for level in (0.0, ceiling / 2, ceiling):
        height = y + _HEIGHT * (1 - level / ceiling)
        page.rule(height, left, left + width, LINE)
        digits = 0 if level.is_integer() else 1
        label = texts.percent(level, digits)
        page.put(LEFT, height - 1.5, label, size=7, colour=QUIET, width=10.5, align="R")
    labelled = _labelled(places)
    for x, height in labelled:
        page.box(x - _LABEL / 3, height - 4.9, _LABEL / 1.5, 3.4, (255, 255, 255))
    page.set_draw_color(*ACCENT)
    page.set_line_width(0.5)
    page.polyline(places)
    _marks(page, places, points, y + _HEIGHT, texts)
    return y + _HEIGHT + 6


def _labelled(places: Sequence[tuple[float, float]]) -> set[tuple[float, float]]:
    """The places whose labels find room beside each other, from the last one on."""
    labelled, free_until = set(), math.inf
    for x, y in reversed(places):
        if x + _LABEL / 2 <= free_until:
            labelled.add((x, y))
            free_until = x - _LABEL / 2
    return labelled


def _marks(
    page: Page,
    places: Sequence[tuple[float, float]],
    points: Sequence[Earlier],
    bottom: float,
    texts: Texts,
) -> None:
    """A dot at every point, its value beside it and its date below as far as they find room."""
    labelled = _labelled(places)
    for (x, y), point in zip(places, points, strict=True):
        current = point is points[-1]
        page.set_draw_color(*ACCENT)
        page.set_fill_color(*(ACCENT if current else (255, 255, 255)))
        page.circle(x, y, 1.0, style="DF")
        if (x, y) not in labelled:
            continue
        left, value, day = x - _LABEL / 2, texts.percent(point.percent, 1), texts.date(point.day)
        page.put(left, y - 4.8, value, size=7, bold=current, colour=INK, width=_LABEL, align="C")
        page.put(left, bottom + 1, day, size=7, colour=QUIET, width=_LABEL, align="C")


def _ceiling(highest: float) -> float:
    """The top of the scale: the next of 1, 2, 5, 10, 20, 50, 100 % above the highest value."""
    return next((top for top in (1.0, 2.0, 5.0, 10.0, 20.0, 50.0) if highest < 0.95 * top), 100.0)
