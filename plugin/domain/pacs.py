"""What the plugin asks of a PACS: one interface, whichever way Orthanc is reached.

Inside Orthanc it is Orthanc's own SDK (:mod:`plugin.pacs`), for a worker elsewhere Orthanc's REST API
(:mod:`plugin.remote.http`). Every call raises NotHeld where a resource does not exist (any more), and OSError
where Orthanc refuses or does not answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from plugin.domain.assessment import Assessment, Correction
from plugin.domain.outcome import Outcome


@dataclass(frozen=True, kw_only=True)
class Change:
    """One line of Orthanc's changes: what happened to which resource, at which position."""

    position: int
    kind: str
    resource: str
    date: str


@dataclass(frozen=True, kw_only=True)
class SeriesRecord:
    """What Orthanc's index says of a series."""

    series: str
    study: str
    series_uid: str
    modality: str
    manufacturer: str
    station: str
    instances: tuple[str, ...]
    stable: bool


class Instances(Protocol):
    """A series as a source of instances (``plugin.dicom.imaging.SeriesSource``)."""

    @property
    def instance_ids(self) -> Sequence[str]:
        """Orthanc's ids of the instances."""

    def read(self, instance_id: str) -> bytes:
        """The DICOM file of one instance."""


class Pacs(Protocol):
    """What reading a series takes: the series, its results, and what was read earlier."""

    def identity(self) -> str | None:
        """What tells this Orthanc from others; None where that was never kept."""

    def series(self, series: str) -> SeriesRecord:
        """A series with its instances."""

    def has_series(self, series: str) -> bool:
        """Whether a series exists (any more)."""

    def study(self, study: str) -> tuple[str, ...]:
        """The series of a study."""

    def siblings(self, record: SeriesRecord) -> list[SeriesRecord]:
        """Every series of the study that a series belongs to, that one too."""

    def station(self, record: SeriesRecord) -> str:
        """The station that made a series, or else the AE title that sent it; empty where neither is known."""

    def is_copy(self, series: str) -> bool:
        """Whether Orthanc made a series from another, by correcting or anonymizing it."""

    def content(self, record: SeriesRecord) -> str:
        """Fingerprint of a series' content: which instances it has and the MD5 of each file."""

    def source(self, record: SeriesRecord) -> Instances:
        """The series as a source of instances."""

    def tags(self, instance: str) -> dict[str, Any]:
        """The tags of an instance before its pixels, by their keywords."""

    def other_outcomes(self, series: str) -> list[tuple[str, Outcome]]:
        """(an instance, outcome) of every series that was read in the other studies under the same ID."""

    def read_instance(self, instance: str) -> bytes:
        """The DICOM file of an instance. Raises TooLarge beyond the limit of the settings."""

    def store(self, dicom: bytes) -> str:
        """Store a DICOM file and give its Orthanc id; what Orthanc keeps afterwards is this very file."""

    def delete_instance(self, instance: str) -> None:
        """Delete an instance; one that does not exist is no error."""

    def outcome(self, series: str) -> Outcome | None:
        """The outcome that the series' metadata keeps, or None."""

    def keep_outcome(self, series: str, outcome: Outcome) -> None:
        """Keep an outcome in the series' metadata, so that a lost ledger loses nothing."""

    def assessments(self, series: str) -> tuple[Assessment, ...]:
        """What physicians said of a series, the latest first."""

    def corrections(self, series: str) -> tuple[Correction, ...]:
        """Segmentations of a series that somebody has corrected, the latest first."""

    def can_label(self) -> bool:
        """Whether this Orthanc keeps labels."""

    def labels(self, level: str, resource: str) -> frozenset[str]:
        """The labels of one of the ``series`` or ``studies``."""

    def label(self, level: str, resource: str, *, add: Iterable[str], remove: Iterable[str]) -> None:
        """Give one of the ``series`` or ``studies`` labels and take others away."""


class OwnPacs(Pacs, Protocol):
    """What the plugin asks besides of the Orthanc that it runs in, to find out what is owed."""

    def keep_identity(self, identity: str) -> None:
        """Keep in Orthanc's index what tells it from others."""

    def changes(self, since: int) -> tuple[list[Change], int, bool]:
        """A page of changes after a position: the changes, the position to go on from, whether it ends."""

    def last_position(self) -> int:
        """The position of the last change that Orthanc has written, 0 where there is none."""

    def parent_series(self, instance: str) -> str:
        """The series that an instance belongs to."""

    def series_page(self, since: int, limit: int) -> list[str]:
        """Some of all the series that Orthanc holds: ``limit`` of them, after the first ``since``."""

    def sop_class(self, instance: str) -> str:
        """SOP Class UID of an instance, from Orthanc's index; empty where its file has none."""

    def origin(self, instance: str) -> str:
        """How an instance came, in Orthanc's words; ``Plugins`` for what this plugin has stored."""

    def has_instance(self, instance: str) -> bool:
        """Whether an instance exists (any more)."""

    def keep_assessments(self, series: str, assessments: Sequence[Assessment]) -> None:
        """Keep what physicians said in the series' metadata."""

    def keep_corrections(self, series: str, corrections: Sequence[Correction]) -> None:
        """Keep what is known of corrected Segmentations in the series' metadata."""

    def emit_audit(self, user: str | None, action: str, status: int) -> None:
        """Tell Orthanc's own audit log, where it has one, what somebody asked for."""

    def set_metric(self, name: str, value: float) -> None:
        """Set one of Orthanc's metrics (``/tools/metrics-prometheus``)."""
