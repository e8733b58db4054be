"""What was found in a few sentences, the same in the SR and on the PDF."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from plugin.domain.findings import Classification, Findings, LungMeasurements, Remark, Severity
from plugin.domain.kinds import Modality, RemarkCode
from plugin.results.texts import Texts

_SAID_ANYWAY = {RemarkCode.NO_LUNGS, RemarkCode.NO_FINDINGS}


class Tone(StrEnum):
    """How a headline is to be taken."""

    CALM = "calm"
    NOTICE = "notice"
    ALERT = "alert"


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """An earlier result of the same patient: the day of its images, and the percentage of both lungs
    that the findings took (0 to 100)."""

    day: date
    percent: float


def rejected(findings: Findings) -> bool:
    """True when a remark ended the reading."""
    return any(remark.severity is Severity.REJECT for remark in findings.remarks)


def uncalled(findings: Findings) -> bool:
    """True where the segmentation marks much of the lungs (a remark says so) that no classifier calls."""
    return findings.lungs is not None and any(
        remark.code == RemarkCode.FINDINGS_NOT_CALLED for remark in findings.remarks
    )


def headline(findings: Findings, texts: Texts) -> tuple[str, Tone]:
    """The answer in one line, without a full stop, and how it is to be taken.

    Never calm where the segmentation marks what no classifier calls.
    """
    if rejected(findings):
        return texts("headline.rejected"), Tone.ALERT
    if uncalled(findings):
        return texts("headline.uncalled"), Tone.NOTICE
    if not findings.classifications:
        return texts("headline.no_classifier"), Tone.CALM
    first, count = findings.classifications[0], len(findings.classifications)
    positive = sum(c.positive for c in findings.classifications)
    tone = Tone.ALERT if positive else Tone.CALM
    words = meaning(first.finding.meaning, texts)
    if count == 1:
        return texts("headline.one", meaning=words, answer=answer(first, texts)), tone
    key = "all" if positive == count else "some" if positive else "none"
    return texts(f"headline.{key}", meaning=words, positive=positive, count=count), tone


def summarise(findings: Findings, texts: Texts, history: Sequence[Earlier] = ()) -> str:
    """One paragraph in the language of ``texts`` that a reader understands without the numbers' context."""
    remarks = " ".join(sentence(remark, texts) for remark in noted(findings))
    if rejected(findings):
        return f"{texts('summary.rejected', reasons=remarks)} {texts('disclaimer')}"
    parts = [narrative(findings, texts, history)]
    if remarks:
        parts.append(texts("summary.remarks", remarks=remarks))
    return " ".join([*parts, texts("disclaimer")])


def narrative(findings: Findings, texts: Texts, history: Sequence[Earlier] = ()) -> str:
    """What was found and measured, without the remarks and the warning; empty for a rejected series."""
    if rejected(findings):
        return ""
    parts = [f"{headline(findings, texts)[0]}."] if uncalled(findings) else []
    parts += [_call(classification, texts) for classification in findings.classifications]
    if len({c.positive for c in findings.classifications}) > 1:
        parts.append(texts("summary.disagree"))
    if findings.modality == Modality.CT:
        parts.append(_lungs(findings.lungs, texts))
    if findings.lungs is not None and history:
        parts.append(course_sentence(findings.lungs.percent, history, texts))
    return " ".join(parts)


def noted(findings: Findings) -> list[Remark]:
    """The remarks to be noted: without those that the results say anyway, as what was found."""
    said = _SAID_ANYWAY | {RemarkCode.FINDINGS_NOT_CALLED} if uncalled(findings) else _SAID_ANYWAY
    return [remark for remark in findings.remarks if remark.code not in said]


def sentence(remark: Remark, texts: Texts) -> str:
    """A remark as a sentence; in another language than the code's, the code's words in parentheses."""
    words = texts.optional(f"remark.{remark.code}", "")
    said = f"{words} ({remark.message.rstrip('.')})" if words else remark.message.rstrip(".")
    return f"{said[:1].upper()}{said[1:]}."


def meaning(words: str, texts: Texts) -> str:
    """The meaning of a class, as its card has it or in the language of ``texts`` where that is known."""
    return texts.optional(f"meaning.{words}", words)


def answer(classification: Classification, texts: Texts) -> str:
    """Whether the finding was called, in words; names the class that was called instead where one was."""
    if classification.positive:
        return texts("summary.positive")
    if len(classification.classes) > 2:
        return texts("summary.other", called=classification.called)
    return texts("summary.negative")


def where(classification: Classification, texts: Texts) -> str:
    """What the classifier looked at: a projection of the CT, or the X-ray."""
    return texts(f"projection.{classification.projection or 'none'}")


def latest(history: Sequence[Earlier]) -> Earlier:
    """The last of the earlier results. Raises ValueError where there is none."""
    return max(history, key=lambda earlier: earlier.day)


def course_sentence(percent: float, history: Sequence[Earlier], texts: Texts) -> str:
    """The change in the percentage of lung involved since the last of the earlier results."""
    before = latest(history)
    change = percent - before.percent
    sign = "+" if change > 0 else "−" if change < 0 else ""
    return texts(
        "summary.course",
        date=texts.date(before.day),
        change=f"{sign}{texts.number(abs(change), 1)}",
        before=texts.percent(before.percent, 1),
    )


def _call(classification: Classification, texts: Texts) -> str:
    finding = classification.finding
    return texts(
        "summary.call",
        meaning=meaning(finding.meaning, texts),
        answer=answer(classification, texts),
        probability=texts.percent(100 * finding.probability),
        threshold=texts.percent(100 * finding.threshold),
        where=where(classification, texts),
        model=classification.algorithm.name,
    )


def _lungs(lungs: LungMeasurements | None, texts: Texts) -> str:
    if lungs is None:
        return texts("summary.no_lungs")
    if lungs.findings_ml <= 0:
        return texts("summary.clear", volume=texts.number(lungs.volume_ml))
    return texts(
        "summary.lungs",
        percent=texts.percent(lungs.percent, 1),
        findings=texts.number(lungs.findings_ml),
        volume=texts.number(lungs.volume_ml),
        right=texts.percent(lungs.right.percent, 1),
        left=texts.percent(lungs.left.percent, 1),
    )
