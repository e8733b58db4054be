"""The answer: the headline, and each classifier's score."""

from __future__ import annotations

from plugin.domain.findings import Algorithm, Classification, Findings
from plugin.results.pdf.page import (
    ACCENT,
    INK,
    LEFT,
    NOTICE,
    PALE,
    QUIET,
    WARNING,
    WIDTH,
    Page,
)
from plugin.results.statement import Tone
from plugin.results.summary import answer as called
from plugin.results.summary import headline, operating_point, score, where
from plugin.results.texts import Texts

_TONES = {Tone.CALM: INK, Tone.NOTICE: NOTICE, Tone.ALERT: WARNING}
_HEADLINE_SIZES = (13.0, 12.0, 10.5)
_LABEL, _VALUE = 36.0, 22.0
"""Widths in mm of what stands before and behind the bar of a score."""


def answer(page: Page, y: float, findings: Findings, texts: Texts) -> float:
    """The answer, then each classifier's certainty drawn against its operating point."""
    words, tone = headline(findings, texts)
    lines = {s: page.count_lines(words, size=s, width=WIDTH, bold=True) for s in _HEADLINE_SIZES}
    # One line in somewhat smaller type is read faster than a last word on a line of its own.
    one = (s for s in _HEADLINE_SIZES[:2] if lines[s] == 1)
    size = next(one, next((s for s in _HEADLINE_SIZES if lines[s] <= 2), _HEADLINE_SIZES[-1]))
    top = 1.5 + page.paragraph(
        LEFT, y, words, size=size, bold=True, colour=_TONES[tone], width=WIDTH, tag="H1"
    )
    for classification in findings.opinions:
        top = _certainty(page, top, classification, WIDTH, texts)
    page.rule(top + 1)
    return top + 4


def _certainty(page: Page, y: float, classification: Classification, width: float, texts: Texts) -> float:
    """A bar from 0 to 100 with the score, the operating point as a mark across it, and what it comes to."""
    finding = classification.finding
    label = where(classification, texts)
    page.put(LEFT, y + 0.4, label[:1].upper() + label[1:], size=8.5, width=_LABEL - 2)
    page.put(LEFT, y + 4.2, _named(classification.algorithm), size=6.5, colour=QUIET, width=_LABEL - 2)
    left, bar, height = LEFT + _LABEL, width - _LABEL - _VALUE, 4.6
    colour = WARNING if classification.positive else ACCENT
    if classification.borderline:
        colour = NOTICE
    page.box(left, y, bar, height, PALE)
    page.box(left, y, max(0.4, bar * finding.probability), height, colour)
    mark = left + bar * finding.threshold
    page.set_draw_color(*INK)
    page.set_line_width(0.5)
    page.line(mark, y - 0.9, mark, y + height + 0.9)
    value = texts("pdf.score", value=score(classification, texts))
    page.put(left + bar + 2, y + 0.3, value, size=9, bold=True, colour=colour, width=_VALUE - 2, align="R")
    below = y + height + 1.3
    page.put(left, below, called(classification, texts), size=7, bold=True, colour=colour, width=bar - 28)
    words = texts("pdf.operating_point", value=operating_point(classification, texts))
    page.put(left + bar - 28, below, words, size=7, colour=QUIET, width=28, align="R")
    return below + 4.6


def _named(algorithm: Algorithm) -> str:
    return f"{algorithm.name} {algorithm.version}"
