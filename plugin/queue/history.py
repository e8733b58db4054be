"""Which earlier results a new one may be compared with.

Only those of the same person, from an earlier study, of all of the lungs, measured by the same network;
and of one study only one, however many reconstructions of it were read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from plugin.domain.kinds import LUNGS_INCOMPLETE
from plugin.results.summary import Earlier, Report

_PLACEHOLDERS = re.compile(
    r"(ANON\w*|DE-?IDENTIFIED|UNKNOWN|UNDEFINED|NONE|NULL|NO ?ID|N/?A|TEST\w*|PATIENT|DUMMY"
    r"|[0X*?.\-_ ]*)",
    re.IGNORECASE,
)
"""Patient IDs that stand for nobody or for everybody."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """Who the images say they are of (DICOM PS3.3 Section C.7.1.1); values are empty where unknown."""

    patient_id: str
    issuer: str
    name: str
    birth_date: str
    sex: str

    @classmethod
    def of(cls, tags: Mapping[str, Any]) -> Person:
        """The person whom the tags of an image name, by their keywords."""
        return cls(
            patient_id=_text(tags, "PatientID"),
            issuer=_text(tags, "IssuerOfPatientID"),
            name=_text(tags, "PatientName").strip("^").upper(),
            birth_date=_text(tags, "PatientBirthDate"),
            sex=_text(tags, "PatientSex"),
        )

    @property
    def known(self) -> bool:
        """Whether these values tell one person from all others: an ID that is no placeholder, a name and a
        date of birth."""
        placeholder = _PLACEHOLDERS.fullmatch(self.patient_id) is not None
        return not placeholder and bool(self.name) and bool(self.birth_date)


@dataclass(frozen=True, kw_only=True)
class Imaged:
    """One series: whose, of which study and when (``YYYYMMDD``, ``HHMMSS``), which reconstruction."""

    person: Person
    study: str
    date: str
    time: str
    description: str
    number: int

    @classmethod
    def of(cls, tags: Mapping[str, Any]) -> Imaged:
        """What the tags of one of its images say, by their keywords."""
        number = _text(tags, "SeriesNumber")
        return cls(
            person=Person.of(tags),
            study=_text(tags, "StudyInstanceUID"),
            date=_text(tags, "StudyDate"),
            time=_text(tags, "StudyTime"),
            description=_text(tags, "SeriesDescription"),
            number=int(number) if re.fullmatch(r"\d{1,12}", number) else 0,
        )


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A series that was read before: what it is, its outcome as JSON, and where its report is."""

    imaged: Imaged
    outcome: Mapping[str, Any]
    report: Report | None


def comparable(current: Imaged, kept: Iterable[Kept], *, segmenter: str) -> tuple[Earlier, ...]:
    """The earlier results that the current series may be compared with, the earliest first.

    ``segmenter``: SHA-256 of the network that measures now. Of several reconstructions of one study the one
    that is named as the current one is taken, else the one with the lowest series number.
    """
    if not current.person.known:
        return ()
    by_study: dict[str, list[Kept]] = {}
    for one in kept:
        if _same(current, one.imaged) and _whole(one.outcome) and _segmenter(one.outcome) == segmenter:
            by_study.setdefault(one.imaged.study, []).append(one)
    chosen = [_one(current, candidates) for candidates in by_study.values()]
    return tuple(sorted((_earlier(one) for one in chosen), key=lambda earlier: earlier.day))


def _same(current: Imaged, other: Imaged) -> bool:
    """Whether another series is of the same person and of a study strictly earlier."""
    if other.person != current.person or other.study == current.study:
        return False
    if _day(other.date) is None or _day(current.date) is None:
        return False
    if other.date != current.date:
        return other.date < current.date
    return bool(other.time and current.time) and other.time[:6] < current.time[:6]


def _whole(outcome: Mapping[str, Any]) -> bool:
    """Whether all of both lungs was measured."""
    lungs = (outcome.get("findings") or {}).get("lungs")
    reasons: Sequence[Mapping[str, Any]] = (outcome.get("verdict") or {}).get("reasons") or ()
    return lungs is not None and not any(reason.get("code") in LUNGS_INCOMPLETE for reason in reasons)


def _segmenter(outcome: Mapping[str, Any]) -> str | None:
    name = outcome["findings"]["lungs"]["model"]
    return next((model["sha256"] for model in outcome.get("models", ()) if model["name"] == name), None)


def _one(current: Imaged, candidates: Sequence[Kept]) -> Kept:
    return min(
        candidates,
        key=lambda one: (one.imaged.description != current.description, one.imaged.number),
    )


def _earlier(one: Kept) -> Earlier:
    lungs = one.outcome["findings"]["lungs"]
    return Earlier(
        day=datetime.strptime(one.imaged.date, "%Y%m%d").date(),
        percent=float(lungs["both"]["percent"]),
        right_percent=float(lungs["right"]["percent"]),
        left_percent=float(lungs["left"]["percent"]),
        findings_ml=float(lungs["both"]["findings_ml"]),
        report=one.report,
    )


def _day(text: str) -> date | None:
    try:
        return datetime.strptime(text, "%Y%m%d").date()
    except ValueError:
        return None


def _text(tags: Mapping[str, Any], keyword: str) -> str:
    value = tags.get(keyword)
    return " ".join(value.split()) if isinstance(value, str) else ""


def report_of(tags: Mapping[str, Any]) -> Report:
    """Where a result is written, from the tags of its Structured Report."""
    return Report(
        study_instance_uid=_text(tags, "StudyInstanceUID"),
        series_instance_uid=_text(tags, "SeriesInstanceUID"),
        sop_class_uid=_text(tags, "SOPClassUID"),
        sop_instance_uid=_text(tags, "SOPInstanceUID"),
    )
