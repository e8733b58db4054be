"""A physician's word on a reading: accepted, modified or rejected, by whom, and of which version."""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

log = logging.getLogger(__name__)


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
    and the networks of that one, with their versions.
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


def assessments_of(kept: object, series: str) -> tuple[Assessment, ...]:
    """The words on a series in JSON that was kept of them, the latest first; what is none is left out."""
    found = []
    for item in kept if isinstance(kept, list) else ():
        try:
            found.append(Assessment.model_validate(item))
        except ValidationError as error:
            log.warning("series %s: a physician's word cannot be read: %s", series, error.error_count())
    return tuple(sorted(found, key=lambda one: one.at, reverse=True))


def as_json(assessment: Assessment, current: str | None) -> dict[str, Any]:
    """A word as the routes answer it. ``current``: the report of today's reading, by Orthanc's id."""
    return assessment.model_dump(mode="json") | {"current": assessment.assessed == current}
