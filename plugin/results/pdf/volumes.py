"""The table of volumes and percentages of a CT, beside those of the earlier one where there is one."""

from __future__ import annotations

from collections.abc import Sequence

from plugin.domain.findings import LungMeasurement, LungMeasurements
from plugin.results import pictures as pic
from plugin.results.pdf.page import INK, LINE, QUIET, Area, Colour, Page
from plugin.results.summary import Earlier, latest
from plugin.results.texts import Texts

WIDTH, HEIGHT = 104.0, 28.0
"""Of the table in mm, with its heading."""

LINE_HEIGHT = 3.2
"""Of a line below it."""

_FIRST = 31.0
_MARGIN_SIZE = 7.0
_COLUMNS = ("lung_ml", "findings_ml", "share_percent")


def height(page: Page, margin_words: str, beside_words: Sequence[str]) -> float:
    """The room in mm that the table takes, with what stands below it."""
    lines = page.count_lines(margin_words, size=_MARGIN_SIZE, width=WIDTH) if margin_words else 0
    return HEIGHT + lines * page.line_height(_MARGIN_SIZE) + LINE_HEIGHT * len(beside_words)


def margin(page: Page, area: Area, words: str) -> float:
    """How far the volumes may be off, below their table; returns y below."""
    return page.paragraph(area.x, area.y, words, size=_MARGIN_SIZE, width=area.width) if words else area.y


def beside(page: Page, area: Area, words: Sequence[str]) -> float:
    """What further segmenters mark, a line for each sentence; returns y below."""
    for number, sentence in enumerate(words):
        page.put(
            area.x, area.y + 0.8 + number * LINE_HEIGHT, sentence, size=6.3, colour=QUIET, width=area.width
        )
    return area.y + LINE_HEIGHT * len(words)


def table(page: Page, area: Area, lungs: LungMeasurements, history: Sequence[Earlier], texts: Texts) -> float:
    """Volumes and percentages of each lung and of both, with the last earlier percentages in a column of
    their own; returns y below."""
    y = page.heading(area.x, area.y, texts("pdf.volumes"), area.width)
    before = latest(history) if history else None
    headings = [texts(f"pdf.column.{key}") for key in _COLUMNS]
    if before is not None:
        headings.append(texts("pdf.column.before", day=texts.date(before.day)))
    each = (area.width - _FIRST) / len(headings)
    places = [area.x + _FIRST + each * number for number in range(len(headings))]
    for x, words in zip(places, headings, strict=True):
        page.put(x, y, words, size=6.3, colour=QUIET, width=each, align="R")
    y += 5
    then: tuple[float | None, ...] = (None, None, None)
    if before is not None:
        then = (before.right_percent, before.left_percent, before.percent)
    rows: tuple[tuple[str, Colour | None, LungMeasurement | LungMeasurements], ...] = (
        (texts("segment.lung-right"), pic.RIGHT_COLOUR, lungs.right),
        (texts("segment.lung-left"), pic.LEFT_COLOUR, lungs.left),
        (texts("pdf.total"), None, lungs),
    )
    for (words, colour, measured), earlier in zip(rows, then, strict=True):
        page.rule(y - 0.4, area.x, area.x + area.width, LINE)
        bold = colour is None
        if colour is not None:
            page.box(area.x, y + 1.1, 2.4, 2.4, colour)
        page.put(area.x + 4, y + 0.4, words, bold=bold, size=8.5, width=_FIRST - 4)
        values = [
            texts.number(measured.volume_ml),
            texts.volume(measured.findings_ml),
            texts.percent(measured.percent, 1),
        ]
        if before is not None:
            values.append("–" if earlier is None else texts.percent(earlier, 1))
        for number, (x, value) in enumerate(zip(places, values, strict=True)):
            ink = QUIET if number == len(_COLUMNS) else INK
            page.put(x, y + 0.4, value, bold=bold, colour=ink, width=each, align="R")
        y += 5.6
    return y
