"""The table of volumes and percentages of a CT."""

from __future__ import annotations

from plugin.domain.findings import LungMeasurements
from plugin.results import pictures as pic
from plugin.results.pdf.page import LINE, QUIET, Area, Page
from plugin.results.texts import Texts

WIDTH, HEIGHT = 104.0, 28.0
"""Of the table in mm, with its heading."""


def table(page: Page, area: Area, lungs: LungMeasurements, texts: Texts) -> float:
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
