"""A physician's word on an earlier result of the series, told on the page of a later one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from plugin.domain.assessment import Assessment
from plugin.results.cleaning import cleaned
from plugin.results.pdf.head import person
from plugin.results.pdf.page import LEFT, QUIET, Page
from plugin.results.summary import meaning
from plugin.results.texts import Texts

_SIZE, _SMALL = 8.5, 7.0
_MOST_LINES = 2
"""So many lines of a comment, and of the names of the networks; the word's own document has all."""


def assessed(page: Page, y: float, assessment: Assessment, texts: Texts) -> float:
    """Who said what of which result, and that it is not this one; returns y below."""
    y = page.heading(LEFT, y, texts("assessed.title"))
    y = page.paragraph(LEFT, y, " ".join(_said(assessment, texts)), size=_SIZE)
    if assessment.text:
        said = texts("assessed.text", text=" ".join(assessment.text.split()))
        y = page.paragraph(LEFT, y + 0.6, said, size=_SIZE, lines=_MOST_LINES)
    if assessment.made_by:
        made = texts("assessed.made_by", made_by=assessment.made_by)
        y = page.paragraph(LEFT, y + 0.6, made, size=_SMALL, colour=QUIET, lines=_MOST_LINES)
    return y + 3


def _said(assessment: Assessment, texts: Texts) -> Iterator[str]:
    """The word in sentences, with the name as the word's own document has it."""
    name = person(cleaned("PN", assessment.by))
    about = [assessment.organization, "" if assessment.verified else texts("assessed.unverified")]
    more = ", ".join(filter(None, about))
    which = texts("assessed.which_undated")
    if assessment.made_at is not None:
        which = texts("assessed.which", when=_minute(assessment.made_at, texts))
    yield texts(
        f"assessed.{assessment.decision}",
        who=f"{name} ({more})" if more else name,
        which=which,
        when=_minute(assessment.at, texts),
    )
    if assessment.meaning:
        yield texts("assessed.class", meaning=meaning(assessment.meaning, texts))
    yield texts("assessed.newer")


def _minute(seconds: float, texts: Texts) -> str:
    return texts.minute(datetime.fromtimestamp(seconds, UTC).astimezone())
