"""All that is said to Orthanc. With ``main`` the only module that imports ``orthanc``.

Until Orthanc's Python plugin 4.3 every call here holds the interpreter's lock while Orthanc works, so
each call is short: one instance, one result, one page of changes at a time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import orthanc

from plugin.domain.errors import NotHeld, TooLarge
from plugin.domain.outcome import Outcome, outcome_of

log = logging.getLogger(__name__)

_T = TypeVar("_T")

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
    study: str
    series_uid: str
    modality: str
    manufacturer: str
    instances: tuple[str, ...]
    stable: bool


class Pacs:
    """Orthanc, as far as the plugin needs it. NotHeld wherever a resource does not exist (any more)."""

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
            study=record["ParentStudy"],
            series_uid=tags.get("SeriesInstanceUID", ""),
            modality=tags.get("Modality", "").strip(),
            manufacturer=tags.get("Manufacturer", "").strip(),
            instances=tuple(record["Instances"]),
            stable=bool(record["IsStable"]),
        )

    def series_page(self, since: int, limit: int) -> list[str]:
        """Some of all the series that Orthanc holds: ``limit`` of them, after the first ``since``."""
        return [str(series) for series in _get_json(f"/series?since={since}&limit={limit}")]

    def study(self, study: str) -> tuple[str, ...]:
        """The series of a study."""
        return tuple(_get_json(f"/studies/{study}")["Series"])

    def siblings(self, record: SeriesRecord) -> list[SeriesRecord]:
        """Every series of the study that a series belongs to, that one too."""
        return self._each(self.study(record.study), self.series)

    def sop_class(self, instance: str) -> str:
        """SOP Class UID of an instance, from Orthanc's index; empty where its file has none."""
        return self._metadata(f"/instances/{instance}", "SopClassUid")

    def origin(self, instance: str) -> str:
        """How an instance came, in Orthanc's words; ``Plugins`` for what this plugin has stored."""
        return self._metadata(f"/instances/{instance}", "Origin")

    def is_copy(self, series: str) -> bool:
        """Whether Orthanc made a series from another, by correcting or anonymizing it."""
        return any(self._metadata(f"/series/{series}", name) for name in ("ModifiedFrom", "AnonymizedFrom"))

    def has_series(self, series: str) -> bool:
        """Whether a series exists (any more)."""
        try:
            self.series(series)
        except NotHeld:
            return False
        return True

    def has_instance(self, instance: str) -> bool:
        """Whether an instance exists (any more)."""
        try:
            _get(f"/instances/{instance}/attachments/dicom/size")
        except NotHeld:
            return False
        return True

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
        """Store a DICOM file and give its Orthanc id; what Orthanc keeps afterwards is this very file.

        Where Orthanc already holds an instance of these identifiers but of other content, that one is
        deleted and the file stored anew. Raises OSError with Orthanc's reason where it refuses.
        """
        status, instance = self._post(dicom)
        if status == "AlreadyStored" and _get(f"/instances/{instance}/file") != dicom:
            log.info("instance %s is kept with other content and is replaced", instance)
            self.delete_instance(instance)
            status, instance = self._post(dicom)
            if status == "AlreadyStored":
                raise OSError(f"Orthanc keeps {instance} with other content than was made")
        return instance

    def delete_instance(self, instance: str) -> None:
        """Delete an instance; one that does not exist is no error."""
        try:
            orthanc.RestApiDelete(f"/instances/{instance}")
        except orthanc.OrthancException as error:
            if not _is_unknown(error):
                raise OSError(f"Orthanc did not delete {instance}: {error}") from error

    def outcome(self, series: str) -> Outcome | None:
        """The outcome that the series' metadata keeps, or None."""
        try:
            kept = json.loads(_get(f"/series/{series}/metadata/{self._series_metadata}"))
        except NotHeld:
            return None
        except ValueError as error:
            log.warning("series %s: its outcome is no JSON and counts as none: %s", series, error)
            return None
        return outcome_of(kept, series)

    def keep_outcome(self, series: str, outcome: Outcome) -> None:
        """Keep an outcome in the series' metadata, so that a lost ledger loses nothing."""
        uri = f"/series/{series}/metadata/{self._series_metadata}"
        try:
            orthanc.RestApiPut(uri, json.dumps(outcome.as_json()).encode())
        except orthanc.OrthancException as error:
            raise _told(error, uri) from error

    def source(self, record: SeriesRecord) -> PacsSeries:
        """The series as a source of instances."""
        return PacsSeries(pacs=self, instance_ids=record.instances)

    def tags(self, instance: str) -> dict[str, Any]:
        """The tags of an instance before its pixels, by their keywords."""
        return dict(_get_json(f"/instances/{instance}/simplified-tags"))

    def other_outcomes(self, series: str) -> list[tuple[str, Outcome]]:
        """(an instance, outcome) of every series that was read in the other studies under the same ID.

        At most the 100 latest studies are looked at: shared identifiers such as ``ANONYMOUS`` may hold
        a whole archive. Whether it is the same person has to be asked of the tags.
        """
        study = _get_json(f"/series/{series}/study")
        patient = _get_json(f"/studies/{study['ID']}/patient")
        others = [other for other in patient["Studies"][-100:] if other != study["ID"]]
        found = []
        for other in self._each(others, lambda other: _get_json(f"/studies/{other}")):
            for sibling in other["Series"]:
                outcome = self.outcome(sibling)
                instances = _get_json(f"/series/{sibling}")["Instances"] if outcome else []
                if outcome and instances:
                    found.append((instances[0], outcome))
        return found

    def can_label(self) -> bool:
        """Whether this Orthanc keeps labels (since 1.12.0)."""
        return bool(_get_json("/system").get("HasLabels", False))

    def labels(self, level: str, resource: str) -> frozenset[str]:
        """The labels of one of the ``series`` or ``studies``."""
        return frozenset(_get_json(f"/{level}/{resource}/labels"))

    def label(self, level: str, resource: str, *, add: Iterable[str], remove: Iterable[str]) -> None:
        """Give one of the ``series`` or ``studies`` labels and take others away."""
        uri = f"/{level}/{resource}/labels"
        try:
            for label in add:
                orthanc.RestApiPut(f"{uri}/{label}", b"")
            for label in remove:
                orthanc.RestApiDelete(f"{uri}/{label}")
        except orthanc.OrthancException as error:
            raise _told(error, uri) from error

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
        except NotHeld:
            # Where Orthanc keeps no MD5 (StoreMD5ForAttachments off) the size has to do.
            return _get(f"/instances/{instance}/attachments/dicom/size").decode()

    @staticmethod
    def _post(dicom: bytes) -> tuple[str, str]:
        try:
            answer = json.loads(orthanc.RestApiPost("/instances", dicom))
        except orthanc.OrthancException as error:
            raise OSError(f"Orthanc did not store a result: {error}") from error
        status = str(answer["Status"])
        if status not in ("Success", "AlreadyStored"):
            raise OSError(f"Orthanc did not store a result: {status}")
        return status, str(answer["ID"])

    @staticmethod
    def _metadata(resource: str, name: str) -> str:
        """A metadata of a resource as text; empty where it has none. Raises NotHeld without the resource."""
        if name not in _get_json(f"{resource}/metadata"):
            return ""
        return _get(f"{resource}/metadata/{name}").decode().strip()

    @staticmethod
    def _each(names: Iterable[str], look: Callable[[str], _T]) -> list[_T]:
        """What is told of each of several resources; those deleted meanwhile are passed over."""
        found = []
        for name in names:
            with contextlib.suppress(NotHeld):
                found.append(look(name))
        return found


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


def extend_explorer(script: str) -> None:
    """Let Orthanc Explorer run a script of ours."""
    try:
        orthanc.ExtendOrthancExplorer(script)
    except (AttributeError, orthanc.OrthancException) as error:
        log.warning("Orthanc Explorer gets no button: %s", error)


def ledger_url(configuration: Mapping[str, Any]) -> str:
    """SQLAlchemy URL of the ledger's file, in the folder in which Orthanc keeps its index."""
    storage = configuration.get("StorageDirectory") or "OrthancStorage"
    folder = Path(configuration.get("IndexDirectory") or storage).resolve()
    return f"sqlite:///{folder / 'chest-ai.sqlite'}"


def _get(uri: str) -> bytes:
    try:
        return bytes(orthanc.RestApiGet(uri))
    except orthanc.OrthancException as error:
        raise _told(error, uri) from error


def _get_json(uri: str) -> Any:
    return json.loads(_get(uri))


def _told(error: Exception, uri: str) -> Exception:
    """What to raise for a call that Orthanc refused."""
    if _is_unknown(error):
        return NotHeld(f"Orthanc does not hold {uri}")
    return OSError(f"Orthanc could not answer {uri}: {error}")


def _is_unknown(error: Exception) -> bool:
    """Whether an OrthancException says that a resource does not exist (codes 17 and 24)."""
    return bool(error.args) and error.args[0] in (
        int(orthanc.ErrorCode.UNKNOWN_RESOURCE),
        int(orthanc.ErrorCode.INEXISTENT_ITEM),
    )
