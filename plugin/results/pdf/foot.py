"""What stands below the pictures: remarks, what the results do not tell, how good the networks are."""

from __future__ import annotations

from collections.abc import Collection

from pydicom.dataset import Dataset

from plugin.domain.findings import Algorithm, Findings, Severity
from plugin.results.common import SeriesLabel
from plugin.results.identity import Identity
from plugin.results.pdf.page import BOTTOM, INK, LEFT, LINE, QUIET, WARNING, WIDTH, Page
from plugin.results.performance import performance
from plugin.results.summary import noted, sentence, threshold
from plugin.results.texts import Texts

_FOOTER = BOTTOM - 9
_WORDS_SIZES = (8.5, 7.5, 6.5)
_REMARK_SIZE, _SMALL = 8.0, 7.0
_APART = 0.8
_ABOVE_WORDS, _BELOW_WORDS = 9.5, 3.0


def remarks(page: Page, y: float, limit: float, findings: Findings, texts: Texts) -> float:
    """What has to be said of the series, if anything; returns y below.

    Where it does not all fit above ``limit``, the last line says how many remarks are left out.
    """
    said = noted(findings)
    if not said:
        return y
    y = page.heading(LEFT, y, texts("pdf.remarks"))
    line = page.line_height(_REMARK_SIZE)
    for number, remark in enumerate(said):
        words = f"• {sentence(remark, texts)}"
        height = line * page.count_lines(words, size=_REMARK_SIZE, width=WIDTH)
        after = line if number + 1 < len(said) else 0.0
        if y + height + after > limit:
            words = texts("pdf.more_remarks", count=len(said) - number)
            return page.paragraph(LEFT, y, f"• {words}", size=_REMARK_SIZE) + 3
        colour = WARNING if remark.severity is Severity.REJECT else INK
        y = page.paragraph(LEFT, y, words, size=_REMARK_SIZE, colour=colour) + 0.6
    return y + 2.5


def untold_height(page: Page, words: str) -> float:
    """The room in mm that :func:`untold` wants for what it says."""
    if not words:
        return 0.0
    size = _WORDS_SIZES[0]
    lines = page.count_lines(words, size=size, width=WIDTH)
    return _ABOVE_WORDS + lines * page.line_height(size) + _BELOW_WORDS


def untold(page: Page, y: float, limit: float, words: str, texts: Texts) -> None:
    """What the results do not tell, in sentences between ``y`` and ``limit``: in smaller type where there is
    less room, and where even that is not enough, as much as fits, with an ellipsis."""
    if not words:
        return
    room = limit - y - _ABOVE_WORDS
    for size in _WORDS_SIZES:
        lines = page.count_lines(words, size=size, width=WIDTH)
        if lines * page.line_height(size) <= room:
            break
    page.heading(LEFT, y + _ABOVE_WORDS - 5.5, texts("pdf.untold"))
    most = max(1, int(room / page.line_height(size)))
    page.paragraph(LEFT, y + _ABOVE_WORDS, words, size=size, lines=most)


def reliability_top(page: Page, findings: Findings, texts: Texts) -> float:
    """Where :func:`reliability` begins: what is above it has the room up to there."""
    words = [*_about(findings, texts), texts("pdf.limits")]
    lines = sum(page.count_lines(line, size=_SMALL, width=WIDTH) for line in words)
    return _FOOTER - 7.5 - lines * page.line_height(_SMALL) - _APART * len(findings.algorithms)


def reliability(page: Page, findings: Findings, texts: Texts) -> None:
    """Each network with its file, operating points and figures, and the limits of those."""
    y = page.heading(LEFT, reliability_top(page, findings, texts), texts("pdf.how"))
    for words in _about(findings, texts):
        y = page.paragraph(LEFT, y, words, size=_SMALL) + _APART
    page.paragraph(LEFT, y, texts("pdf.limits"), size=_SMALL, colour=QUIET)


def _about(findings: Findings, texts: Texts) -> list[str]:
    """A paragraph on each network. The point from which a classifier is positive stands beside its score."""
    said = {(c.algorithm, c.finding.name) for c in findings.opinions}
    return [_network(algorithm, texts, said) for algorithm in findings.algorithms]


def _network(algorithm: Algorithm, texts: Texts, said: Collection[tuple[Algorithm, str]]) -> str:
    """A network's name, version, file, operating points that are not ``said`` elsewhere, and figures."""
    points = ", ".join(
        f"{name} {threshold(point, texts)}"
        for name, point in algorithm.operating_points
        if (algorithm, name) not in said
    )
    return texts(
        "pdf.network",
        name=f"{algorithm.name} {algorithm.version}",
        sha256=algorithm.sha256[:16],
        provider=algorithm.provider.removesuffix("ExecutionProvider"),
        points=texts("pdf.points", points=points) if points else "",
        figures=performance(algorithm, texts),
    )


def footer(page: Page, source: Dataset, identity: Identity, label: SeriesLabel) -> None:
    """Series and software identifiers."""
    texts = label.texts
    page.rule(_FOOTER, colour=LINE)
    made = texts(
        "pdf.made",
        software=f"{label.model_name} {label.software_version}",
        when=texts.minute(identity.created),
    )
    page.put(LEFT, _FOOTER + 1.5, made, size=7, colour=QUIET)
    page.put(LEFT, _FOOTER + 1.5, texts("pdf.page"), size=7, colour=QUIET, align="R")
    series = texts("pdf.series", uid=source.SeriesInstanceUID)
    page.put(LEFT, _FOOTER + 5, series, size=7, colour=QUIET)
