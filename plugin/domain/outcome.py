"""What a reading ended with: what the ledger, the series' metadata in the PACS and the routes keep of it.

The JSON of an outcome outlives the version that wrote it. So unknown keys are passed over, codes are plain
text here, and whatever an older version did not write has a default.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, field_validator

from plugin.domain.findings import Findings, Verdict, as_json
from plugin.domain.kinds import ResultKind, State

log = logging.getLogger(__name__)


class _Kept(BaseModel):
    """Base of every part: it never changes once made, and newer keys are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class KeptRemark(_Kept):
    """A remark (:class:`plugin.domain.findings.Remark`), whatever version knows its code."""

    code: str
    severity: str
    message: str
    values: tuple[tuple[str, str], ...] = ()


class KeptVerdict(_Kept):
    """Whether the series was read, and every remark on it. ``accepted`` is None before it was judged."""

    accepted: bool | None = None
    reasons: tuple[KeptRemark, ...] = ()


class KeptClassification(_Kept):
    """What a classifier said: probabilities and thresholds (0 to 1) by class; ``finding`` is the class that
    it looks for, None where an older version wrote it."""

    model: str
    version: str
    projection: str | None = None
    finding: str | None = None
    called: str
    positive: bool
    probabilities: dict[str, float]
    thresholds: dict[str, float]


class KeptLung(_Kept):
    """Volumes in mL, and the percentage (0 to 100) that the findings take."""

    volume_ml: float
    findings_ml: float
    percent: float


class KeptDrawn(_Kept):
    """How much experts outline where a network marks as much (:class:`plugin.domain.volume_errors.Drawn`)."""

    percent: tuple[float, float]
    findings_ml: tuple[float, float]
    patients: int


class KeptLungs(_Kept):
    """The measurements of each lung and of both, and the network that found the findings.

    ``agreement``: of a network beside the first, the Dice coefficient of the findings of both."""

    model: str
    left: KeptLung
    right: KeptLung
    both: KeptLung
    drawn: KeptDrawn | None = None
    agreement: float | None = None


class KeptFindings(_Kept):
    """What was found."""

    joined: KeptClassification | None = None
    classifications: tuple[KeptClassification, ...] = ()
    lungs: KeptLungs | None = None
    beside: tuple[KeptLungs, ...] = ()
    remarks: tuple[KeptRemark, ...] = ()


class KeptThumbnail(_Kept):
    """The slice that stands for a CT, by Orthanc's id, and what is marked on it.

    ``outlines``: closed, as column, row, column, row … of the slice as it is stored, (0, 0) being its upper
    left corner.
    """

    instance: str
    rows: int
    columns: int
    outlines: tuple[tuple[int, ...], ...] = ()


class KeptModel(_Kept):
    """A network that read the series."""

    name: str
    version: str
    task: str
    sha256: str
    provider: str


class Outcome(_Kept):
    """The end of one reading of one series.

    ``content`` and ``recipe`` are the fingerprints of what was read and of all that shapes what is made of
    it; ``reading`` is the fingerprint of both and of the patient's history, ``dated`` the time (seconds of
    the epoch) that dates the results. ``outputs``: Orthanc's ids of the results by kind; ``timings``:
    seconds by stage. ``superseded``: Orthanc's ids of every earlier result.
    """

    state: State
    series: str | None = None
    """Orthanc's id of the series that it is of; None where an older version wrote it."""
    station: str = ""
    """The station that made the images, or else the AE title that sent them; empty where neither is known."""
    content: str = ""
    recipe: str = Field(
        default="", validation_alias=AliasChoices("lineup", "recipe"), serialization_alias="lineup"
    )
    reading: str | None = None
    dated: float | None = None
    verdict: KeptVerdict | None = None
    findings: KeptFindings | None = None
    answer: str | None = None
    """What the findings come to (:class:`plugin.results.statement.Answer`); None where nothing was found out,
    or an older version wrote it."""
    thumbnail: KeptThumbnail | None = None
    """Of a CT that was segmented; None where an older version wrote it."""
    outputs: dict[ResultKind, str | None] = dict.fromkeys(ResultKind)
    models: tuple[KeptModel, ...] = ()
    timings: dict[str, float] = {}
    superseded: tuple[str, ...] = ()
    error: str | None = None

    @field_validator("outputs")
    @classmethod
    def _every_kind_is_named(cls, outputs: dict[ResultKind, str | None]) -> dict[ResultKind, str | None]:
        return {kind: outputs.get(kind) for kind in ResultKind}

    @field_validator("timings")
    @classmethod
    def _to_the_millisecond(cls, timings: dict[str, float]) -> dict[str, float]:
        return {stage: round(seconds, 3) for stage, seconds in timings.items()}

    @property
    def deciding(self) -> tuple[KeptClassification, ...]:
        """What decides the answer of the classifiers: the joined statement alone where there is one."""
        if self.findings is None:
            return ()
        joined = self.findings.joined
        return self.findings.classifications if joined is None else (joined,)

    @property
    def stored(self) -> tuple[str, ...]:
        """Orthanc's ids of the results."""
        return tuple(identifier for identifier in self.outputs.values() if identifier)

    def answers(self, content: str, recipe: str) -> bool:
        """Whether it is a reading of this content by this recipe that came to an end."""
        ended = self.state in (State.DONE, State.REJECTED)
        return ended and (self.content, self.recipe) == (content, recipe)

    def as_json(self) -> dict[str, Any]:
        """The outcome as the ledger and the series' metadata keep it."""
        return self.model_dump(mode="json", by_alias=True)


def outcome_of(kept: object, series: str) -> Outcome | None:
    """The outcome of a series in JSON that was kept of it; None where it is none, or another series'."""
    if kept is None:
        return None
    try:
        outcome = Outcome.model_validate(kept)
    except ValidationError as error:
        log.warning("series %s: its outcome cannot be read and counts as none: %s", series, error)
        return None
    return outcome if outcome.series in (None, series) else None


def kept_verdict(verdict: Verdict) -> KeptVerdict:
    """A verdict as it is kept."""
    return KeptVerdict.model_validate(
        {"accepted": verdict.accepted, "reasons": [asdict(remark) for remark in verdict.remarks]}
    )


def kept_findings(findings: Findings) -> KeptFindings:
    """Findings as they are kept: probabilities and volumes rounded."""
    return KeptFindings.model_validate(as_json(findings))
