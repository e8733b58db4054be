"""Physicians' words on results, and what the results themselves said, read from the Structured Reports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydicom.dataset import Dataset

from plugin.domain.assessment import Decision
from plugin.results import concepts
from plugin.results.sr.assessment import ASSESSED, ASSESSMENT, CORRECTED, DECISIONS

_DECIDED = {concept.value: decision for decision, concept in DECISIONS.items()}


@dataclass(frozen=True, kw_only=True)
class Word:
    """A physician's word on the report ``assessed`` (its SOP Instance UID).

    ``corrected``: what the class that the physician finds means, where one was given. ``moment``: content
    date and time, which tells a later word from an earlier one.
    """

    assessed: str
    decision: Decision
    corrected: str | None
    moment: str


@dataclass(frozen=True, kw_only=True)
class Called:
    """What a network said in a report: ``finding`` as its card means it, and whether it called it."""

    model: str
    version: str
    finding: str
    present: bool


def word_of(report: Dataset) -> Word | None:
    """The word in a Structured Report; None where it is no assessment."""
    items = list(_items(report))
    decided = next((_DECIDED.get(_code(item)) for item in items if _named(item, ASSESSMENT.value)), None)
    referred = next((item for item in items if _named(item, ASSESSED.value)), None)
    if decided is None or referred is None:
        return None
    corrected = next((item for item in items if _named(item, CORRECTED.value)), None)
    return Word(
        assessed=str(referred.ReferencedSOPSequence[0].ReferencedSOPInstanceUID),
        decision=decided,
        corrected=None if corrected is None else str(corrected.ConceptCodeSequence[0].CodeMeaning),
        moment=f"{report.get('ContentDate', '')}{report.get('ContentTime', '')}",
    )


def latest(words: Iterable[Word]) -> list[Word]:
    """The last word on each report."""
    last: dict[str, Word] = {}
    for word in sorted(words, key=lambda word: word.moment):
        last[word.assessed] = word
    return list(last.values())


def called(report: Dataset) -> list[Called]:
    """What each classifier of a report of the plugin called."""
    found = []
    for group in _groups(report):
        items = list(group.get("ContentSequence", ()))
        texts = {_name(item): str(item.TextValue) for item in items if item.ValueType == "TEXT"}
        codes = {_name(item): item for item in items if item.ValueType == "CODE"}
        classifies = any(_named(item, concepts.PROBABILITY.value) for item in items)
        if classifies and "Algorithm Name" in texts and "Finding" in codes and "Presence" in codes:
            found.append(
                Called(
                    model=texts["Algorithm Name"],
                    version=texts.get("Algorithm Version", ""),
                    finding=str(codes["Finding"].ConceptCodeSequence[0].CodeMeaning),
                    present=_code(codes["Presence"]) == concepts.PRESENT.value,
                )
            )
    return found


def networks(report: Dataset) -> list[str]:
    """Every network of a report with its version, in its order."""
    named = []
    for group in _groups(report):
        texts = {
            _name(i): str(i.TextValue) for i in group.get("ContentSequence", ()) if i.ValueType == "TEXT"
        }
        if "Algorithm Name" in texts:
            named.append(f"{texts['Algorithm Name']} {texts.get('Algorithm Version', '')}".strip())
    return list(dict.fromkeys(named))


def evidence(report: Dataset) -> dict[str, list[str]]:
    """The instances that a report stands on, by the UID of their series."""
    found: dict[str, list[str]] = {}
    for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence"):
        for study in report.get(keyword, ()):
            for series in study.ReferencedSeriesSequence:
                uids = [str(item.ReferencedSOPInstanceUID) for item in series.ReferencedSOPSequence]
                found.setdefault(str(series.SeriesInstanceUID), []).extend(uids)
    return found


def _groups(report: Dataset) -> Iterator[Dataset]:
    return (item for item in _items(report) if _name(item) == "Measurement Group")


def _items(dataset: Dataset) -> Iterator[Dataset]:
    """Every content item, from the outermost inwards."""
    for item in dataset.get("ContentSequence", ()):
        yield item
        yield from _items(item)


def _name(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence")
    return str(names[0].CodeMeaning) if names else ""


def _named(item: Dataset, value: str) -> bool:
    names = item.get("ConceptNameCodeSequence")
    return bool(names) and value in (names[0].get("CodeValue"), names[0].get("LongCodeValue"))


def _code(item: Dataset) -> str:
    value = item.ConceptCodeSequence[0]
    return str(value.get("CodeValue") or value.get("LongCodeValue") or "")
