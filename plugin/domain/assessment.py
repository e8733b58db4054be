"""What a person made of a reading: a word on it, by whom and of which version, or corrected outlines."""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

log = logging.getLogger(__name__)

_Kept = TypeVar("_Kept", "Assessment", "Correction")


class Decision(StrEnum):
    """What a physician makes of the software's result."""

    ACCEPT = "accept"
    MODIFY = "modify"
    REJECT = "reject"


class Assessment(BaseModel):
    """One word on one reading, as the series' metadata in Orthanc keeps it. Newer keys are passed over.

    ``at``: seconds of the epoch. ``corrected``: the class that it should have been, with its ``meaning``.
    ``verified``: whether Orthanc or a proxy had checked who it was. ``report``: Orthanc's id of the
    Structured Report with this word; ``assessed``: of the one that it is about; ``made_by``: the software
    and the networks of that one, with their versions; ``made_at``: its date, None where that is not known.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    decision: Decision
    by: str
    organization: str = ""
    verified: bool
    at: float
    text: str = ""
    corrected: str | None = None
    meaning: str | None = None
    report: str
    assessed: str
    made_by: str = ""
    made_at: float | None = None


class Correction(BaseModel):
    """A Segmentation that somebody has corrected in a viewer, measured anew; kept like an assessment.

    ``segmentation``: Orthanc's id of it; ``corrects``: of the plugin's own one at that time, None where
    there was none. ``lungs``: volumes in mL and percentages by ``right``, ``left`` and ``both``; None
    where it cannot be measured, for ``reason``.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    segmentation: str
    corrects: str | None = None
    by: str = ""
    made_with: str = ""
    at: float
    lungs: dict[str, dict[str, float]] | None = None
    reason: str | None = None


def corrections_of(kept: object, series: str) -> tuple[Correction, ...]:
    """The corrections of a series in JSON that was kept of them, the latest first; without what is none."""
    return _latest_first(kept, Correction, series)


def assessments_of(kept: object, series: str) -> tuple[Assessment, ...]:
    """The words on a series in JSON that was kept of them, the latest first; what is none is left out."""
    return _latest_first(kept, Assessment, series)


def _latest_first(kept: object, kind: type[_Kept], series: str) -> tuple[_Kept, ...]:
    found = []
    for item in kept if isinstance(kept, list) else ():
        try:
            found.append(kind.model_validate(item))
        except ValidationError as error:
            log.warning(
                "series %s: what was kept of it cannot be read: %d errors", series, error.error_count()
            )
    return tuple(sorted(found, key=lambda one: one.at, reverse=True))


def as_json(assessment: Assessment, current: str | None) -> dict[str, Any]:
    """A word as the routes answer it. ``current``: the report of today's reading, by Orthanc's id."""
    return assessment.model_dump(mode="json") | {"current": assessment.assessed == current}
