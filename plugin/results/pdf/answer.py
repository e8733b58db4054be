"""The answer: the headline, each classifier's score, and for a CT the share of the lungs."""

from __future__ import annotations

from plugin.domain.findings import Algorithm, Classification, Findings
from plugin.domain.kinds import Modality, RemarkCode
from plugin.results.pdf.page import (
    ACCENT,
    INK,
    LEFT,
    NOTICE,
    PALE,
    QUIET,
    RIGHT,
    WARNING,
    WIDTH,
    Area,
    Page,
)
from plugin.results.statement import Tone, cut, rejected
from plugin.results.summary import answer as called
from plugin.results.summary import headline, operating_point, score, where
from plugin.results.texts import Texts

_TONES = {Tone.CALM: INK, Tone.NOTICE: NOTICE, Tone.ALERT: WARNING}
_HEADLINE_SIZES = (14.0, 12.0, 10.5)
_LABEL, _VALUE = 36.0, 22.0
"""Widths in mm of what stands before and behind the bar of a score."""


def answer(page: Page, y: float, findings: Findings, texts: Texts) -> float:
    """The answer, then each classifier's certainty drawn against its operating point."""
    words, tone = headline(findings, texts)
    figure = 46.0 if findings.modality == Modality.CT and not rejected(findings) else 0.0
    width = WIDTH - figure - 4
    sizes = (s for s in _HEADLINE_SIZES if page.count_lines(words, size=s, width=width, bold=True) <= 2)
    size = next(sizes, _HEADLINE_SIZES[-1])
    top = 1.5 + page.paragraph(
        LEFT, y, words, size=size, bold=True, colour=_TONES[tone], width=width, tag="H1"
    )
    for classification in findings.classifications:
        top = _certainty(page, top, classification, WIDTH - figure, texts)
    if figure:
        _share_of_lung(page, Area(RIGHT - figure + 4, y, figure - 4, 20), findings, texts)
        top = max(top, y + 22)
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


def _share_of_lung(page: Page, area: Area, findings: Findings, texts: Texts) -> None:
    """The one figure of a CT: how much of the lungs is marked, or why that is not known."""
    x, y, width, height = area
    page.box(x, y, width, height, PALE)
    if findings.lungs is not None:
        figure = texts.percent(findings.lungs.percent, 1)
        words = texts("pdf.share_imaged" if cut(findings) else "pdf.share")
    else:
        figure = "–"
        none_found = RemarkCode.NO_LUNGS in findings.codes
        words = texts("pdf.no_lungs" if none_found else "pdf.not_segmented")
    page.put(x, y + 2.6, figure, size=20, bold=True, width=width, align="C")
    page.put(x, y + 13.6, words, size=8, colour=QUIET, width=width, align="C")


def _named(algorithm: Algorithm) -> str:
    return f"{algorithm.name} {algorithm.version}"
