"""All that is said to Orthanc. With ``main`` the only module that imports ``orthanc``.

Until Orthanc's Python plugin 4.3 every call here holds the interpreter's lock while Orthanc works, so
each call is short: one instance, one result, one page of changes at a time.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orthanc
from pydicom.dataset import Dataset

from plugin.domain.errors import TooLarge

_CHANGES_PAGE = 500

_IDENTITY_PROPERTY = 4207
"""Number of the global property in Orthanc's index that tells this Orthanc from others."""


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
    series_uid: str
    modality: str
    instances: tuple[str, ...]
    stable: bool


class Pacs:
    """Orthanc, as far as the plugin needs it. LookupError wherever a resource does not exist (any more)."""

    def __init__(self, *, series_metadata: int, max_instance_mb: int) -> None:
        """``series_metadata``: number of the metadata that keeps a series' outcome."""
        self._series_metadata = series_metadata
        self._max_bytes = max_instance_mb << 20

    def changes(self, since: int) -> tuple[list[Change], int, bool]:
        """A page of changes after a position: the changes, the position to go on from, whether it ends."""
        page = _get_json(f"/changes?since={since}&limit={_CHANGES_PAGE}")
        changes = [
            Change(position=item["Seq"], kind=item["ChangeType"], resource=item["ID"], date=item["Date"])
            for item in page["Changes"]
        ]
        return changes, int(page["Last"]), bool(page["Done"])

    def last_position(self) -> int:
        """The position of the last change that Orthanc has written, 0 where there is none."""
        return int(_get_json("/changes?last")["Last"])

    def parent_series(self, instance: str) -> str:
        """The series that an instance belongs to."""
        return str(_get_json(f"/instances/{instance}")["ParentSeries"])

    def series(self, series: str) -> SeriesRecord:
        """A series with its instances."""
        record = _get_json(f"/series/{series}")
        tags = record["MainDicomTags"]
        return SeriesRecord(
            series=series,
            series_uid=tags.get("SeriesInstanceUID", ""),
            modality=tags.get("Modality", "").strip(),
            instances=tuple(record["Instances"]),
            stable=bool(record["IsStable"]),
        )

    def series_page(self, since: int, limit: int) -> list[str]:
        """Some of all the series that Orthanc holds: ``limit`` of them, after the first ``since``."""
        return [str(series) for series in _get_json(f"/series?since={since}&limit={limit}")]

    def sop_class(self, instance: str) -> str:
        """SOP Class UID of an instance, from Orthanc's index."""
        return _get(f"/instances/{instance}/metadata/SopClassUid").decode().strip()

    def content(self, record: SeriesRecord) -> str:
        """Fingerprint of a series' content: which instances it has and the MD5 of each file."""
        lines = sorted(f"{instance} {self._instance_digest(instance)}" for instance in record.instances)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def read_instance(self, instance: str) -> bytes:
        """The DICOM file of an instance. Raises TooLarge beyond the limit of the settings."""
        size = int(_get(f"/instances/{instance}/attachments/dicom/size"))
        if size > self._max_bytes:
            message = f"an instance has {size >> 20} MiB, the limit is {self._max_bytes >> 20} MiB"
            raise TooLarge(message, instance_id=instance)
        return _get(f"/instances/{instance}/file")

    def store(self, dicom: bytes) -> str:
        """Store a DICOM file and give its Orthanc id; storing the same again gives the same id.

        Raises OSError with Orthanc's reason where it refuses.
        """
        try:
            answer = json.loads(orthanc.RestApiPost("/instances", dicom))
        except orthanc.OrthancException as error:
            raise OSError(f"Orthanc did not store a result: {error}") from error
        if answer["Status"] not in ("Success", "AlreadyStored"):
            raise OSError(f"Orthanc did not store a result: {answer['Status']}")
        return str(answer["ID"])

    def delete_instance(self, instance: str) -> None:
        """Delete an instance; one that does not exist is no error."""
        try:
            orthanc.RestApiDelete(f"/instances/{instance}")
        except orthanc.OrthancException as error:
            if not _is_unknown(error):
                raise OSError(f"Orthanc did not delete {instance}: {error}") from error

    def outcome(self, series: str) -> dict[str, Any] | None:
        """The outcome that the series' metadata keeps, or None."""
        try:
            kept = json.loads(_get(f"/series/{series}/metadata/{self._series_metadata}"))
        except (LookupError, ValueError):
            return None
        return kept if isinstance(kept, dict) else None

    def keep_outcome(self, series: str, outcome: dict[str, Any]) -> None:
        """Keep an outcome in the series' metadata, so that a lost ledger loses nothing."""
        uri = f"/series/{series}/metadata/{self._series_metadata}"
        try:
            orthanc.RestApiPut(uri, json.dumps(outcome).encode())
        except orthanc.OrthancException as error:
            _raise(error, uri)

    def source(self, record: SeriesRecord) -> PacsSeries:
        """The series as a source of instances."""
        return PacsSeries(pacs=self, instance_ids=record.instances)

    def earlier_outcomes(self, series: str) -> list[tuple[str, dict[str, Any]]]:
        """(study date as YYYYMMDD, outcome) of the same patient's series in earlier studies.

        At most the 100 latest studies are looked at: shared identifiers such as ``ANONYMOUS`` may hold
        a whole archive. A patient without an identifier has no history.
        """
        study = _get_json(f"/series/{series}/study")
        patient = _get_json(f"/studies/{study['ID']}/patient")
        day = study["MainDicomTags"].get("StudyDate", "")
        if not patient["MainDicomTags"].get("PatientID", "").strip() or not day:
            return []
        studies = [_get_json(f"/studies/{other}") for other in patient["Studies"][-100:]]
        found = []
        for other in studies:
            date = other["MainDicomTags"].get("StudyDate", "")
            if other["ID"] == study["ID"] or not date or date > day:
                continue
            kept = [self.outcome(sibling) for sibling in other["Series"]]
            found += [(date, outcome) for outcome in kept if outcome is not None]
        return found

    @staticmethod
    def instance_id(result: Dataset) -> str:
        """Orthanc's id of a result, known before it is stored (SHA-1 over its four identifiers)."""
        identifiers = (
            result.PatientID or "",
            result.StudyInstanceUID,
            result.SeriesInstanceUID,
            result.SOPInstanceUID,
        )
        digest = hashlib.sha1(  # noqa: S324 - Orthanc's own definition, not for security
            "|".join(str(identifier).strip() for identifier in identifiers).encode()
        ).hexdigest()
        return "-".join(digest[start : start + 8] for start in range(0, 40, 8))

    @staticmethod
    def identity() -> str | None:
        """What tells this Orthanc from others, kept in its index; None before :meth:`keep_identity`."""
        return str(orthanc.GetGlobalProperty(_IDENTITY_PROPERTY, "")) or None

    @staticmethod
    def keep_identity(identity: str) -> None:
        """Keep in Orthanc's index what tells it from others. Raises OSError where Orthanc cannot."""
        try:
            orthanc.SetGlobalProperty(_IDENTITY_PROPERTY, identity)
        except orthanc.OrthancException as error:
            raise OSError(f"Orthanc did not keep its identity: {error}") from error

    @staticmethod
    def set_metric(name: str, value: float) -> None:
        """Set one of Orthanc's metrics (``/tools/metrics-prometheus``)."""
        orthanc.SetMetricsValue(name, value, orthanc.MetricsType.DEFAULT)

    def _instance_digest(self, instance: str) -> str:
        try:
            return _get(f"/instances/{instance}/attachments/dicom/md5").decode()
        except LookupError:
            # Where Orthanc keeps no MD5 (StoreMD5ForAttachments off) the size has to do.
            return _get(f"/instances/{instance}/attachments/dicom/size").decode()


@dataclass(frozen=True, kw_only=True)
class PacsSeries:
    """A series in Orthanc as a source of instances (``plugin.dicom.imaging.SeriesSource``)."""

    pacs: Pacs
    instance_ids: Sequence[str]

    def read(self, instance_id: str) -> bytes:
        """The DICOM file of one instance."""
        return self.pacs.read_instance(instance_id)


class OrthancLog(logging.Handler):
    """Hands Python's log records to Orthanc's own log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record at Orthanc's fitting level."""
        message = f"ChestAI: {self.format(record)}"
        if record.levelno >= logging.ERROR:
            orthanc.LogError(message)
        elif record.levelno >= logging.WARNING:
            orthanc.LogWarning(message)
        else:
            orthanc.LogInfo(message)


def configuration() -> dict[str, Any]:
    """Orthanc's whole configuration."""
    return dict(json.loads(orthanc.GetConfiguration()))


def ledger_url(configuration: Mapping[str, Any]) -> str:
    """SQLAlchemy URL of the ledger's file, in the folder in which Orthanc keeps its index."""
    storage = configuration.get("StorageDirectory") or "OrthancStorage"
    folder = Path(configuration.get("IndexDirectory") or storage).resolve()
    return f"sqlite:///{folder / 'chest-ai.sqlite'}"


def _get(uri: str) -> bytes:
    try:
        return bytes(orthanc.RestApiGet(uri))
    except orthanc.OrthancException as error:
        _raise(error, uri)
        raise


def _get_json(uri: str) -> Any:
    return json.loads(_get(uri))


def _raise(error: Exception, uri: str) -> None:
    if _is_unknown(error):
        raise LookupError(f"Orthanc does not hold {uri}") from error
    raise OSError(f"Orthanc could not answer {uri}: {error}") from error


def _is_unknown(error: Exception) -> bool:
    """Whether an OrthancException says that a resource does not exist (codes 17 and 24)."""
    return bool(error.args) and error.args[0] in (
        int(orthanc.ErrorCode.UNKNOWN_RESOURCE),
        int(orthanc.ErrorCode.INEXISTENT_ITEM),
    )
