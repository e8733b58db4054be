"""Orthanc's REST API as the plugin uses it, whichever way a request travels.

Inside Orthanc a request goes through the SDK, and until Orthanc's Python plugin 4.3 each one holds the
interpreter's lock while Orthanc works. So each is short: one instance, one result, one page of changes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from plugin.domain.assessment import Assessment, Correction, assessments_of, corrections_of
from plugin.domain.errors import NoRoom, NotHeld, TooLarge
from plugin.domain.outcome import Outcome, outcome_of
from plugin.domain.pacs import Change, SeriesRecord
from plugin.transport import Transport

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_CHANGES_PAGE = 500


class OrthancApi:
    """Orthanc over a transport (:class:`plugin.domain.pacs.Pacs`, and most of ``OwnPacs``)."""

    def __init__(self, transport: Transport, *, series_metadata: int, max_instance_mb: int) -> None:
        """``series_metadata``: number of the metadata that keeps a series' outcome; the next two
        keep what people made of it."""
        self._transport = transport
        self._series_metadata = series_metadata
        self._max_bytes = max_instance_mb << 20

    def changes(self, since: int) -> tuple[list[Change], int, bool]:
        """A page of changes after a position: the changes, the position to go on from, whether it ends."""
        page = self._json(f"/changes?since={since}&limit={_CHANGES_PAGE}")
        changes = [
            Change(position=item["Seq"], kind=item["ChangeType"], resource=item["ID"], date=item["Date"])
            for item in page["Changes"]
        ]
        return changes, int(page["Last"]), bool(page["Done"])

    def last_position(self) -> int:
        """The position of the last change that Orthanc has written, 0 where there is none."""
        return int(self._json("/changes?last")["Last"])

    def parent_series(self, instance: str) -> str:
        """The series that an instance belongs to."""
        return str(self._json(f"/instances/{instance}")["ParentSeries"])

    def series(self, series: str) -> SeriesRecord:
        """A series with its instances."""
        record = self._json(f"/series/{series}")
        tags = record["MainDicomTags"]
        return SeriesRecord(
            series=series,
            study=record["ParentStudy"],
            series_uid=tags.get("SeriesInstanceUID", ""),
            modality=tags.get("Modality", "").strip(),
            manufacturer=tags.get("Manufacturer", "").strip(),
            station=tags.get("StationName", "").strip(),
            instances=tuple(record["Instances"]),
            stable=bool(record["IsStable"]),
        )

    def series_page(self, since: int, limit: int) -> list[str]:
        """Some of all the series that Orthanc holds: ``limit`` of them, after the first ``since``."""
        return [str(series) for series in self._json(f"/series?since={since}&limit={limit}")]

    def study(self, study: str) -> tuple[str, ...]:
        """The series of a study."""
        return tuple(self._json(f"/studies/{study}")["Series"])

    def siblings(self, record: SeriesRecord) -> list[SeriesRecord]:
        """Every series of the study that a series belongs to, that one too."""
        return self._each(self.study(record.study), self.series)

    def sop_class(self, instance: str) -> str:
        """SOP Class UID of an instance, from Orthanc's index; empty where its file has none."""
        return self._metadata(f"/instances/{instance}", "SopClassUid")

    def origin(self, instance: str) -> str:
        """How an instance came, in Orthanc's words; ``Plugins`` for what this plugin has stored."""
        return self._metadata(f"/instances/{instance}", "Origin")

    def station(self, record: SeriesRecord) -> str:
        """The station that made a series, or else the AE title that sent it; empty where neither is known."""
        if record.station or not record.instances:
            return record.station
        return self._metadata(f"/instances/{record.instances[0]}", "RemoteAET")

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
            self._get(f"/instances/{instance}/attachments/dicom/size")
        except NotHeld:
            return False
        return True

    def content(self, record: SeriesRecord) -> str:
        """Fingerprint of a series' content: which instances it has and the MD5 of each file."""
        lines = sorted(f"{instance} {self._instance_digest(instance)}" for instance in record.instances)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def read_instance(self, instance: str) -> bytes:
        """The DICOM file of an instance. Raises TooLarge beyond the limit of the settings."""
        size = int(self._get(f"/instances/{instance}/attachments/dicom/size"))
        if size > self._max_bytes:
            message = f"an instance has {size >> 20} MiB, the limit is {self._max_bytes >> 20} MiB"
            raise TooLarge(message, instance_id=instance)
        return self._get(f"/instances/{instance}/file")

    def store(self, dicom: bytes) -> str:
        """Store a DICOM file and give its Orthanc id; what Orthanc keeps afterwards is this very file.

        Where Orthanc already holds an instance of these identifiers but of other content, that one is
        deleted and the file stored anew. Raises NoRoom, and OSError with Orthanc's reason where it refuses.
        """
        status, instance = self._post(dicom)
        if status == "AlreadyStored" and self._get(f"/instances/{instance}/file") != dicom:
            log.info("instance %s is kept with other content and is replaced", instance)
            self.delete_instance(instance)
            status, instance = self._post(dicom)
            if status == "AlreadyStored":
                raise OSError(f"Orthanc keeps {instance} with other content than was made")
        return instance

    def delete_instance(self, instance: str) -> None:
        """Delete an instance; one that does not exist is no error."""
        with contextlib.suppress(NotHeld):
            self._transport.delete(f"/instances/{instance}")

    def outcome(self, series: str) -> Outcome | None:
        """The outcome that the series' metadata keeps, or None."""
        return outcome_of(self._kept(series, self._series_metadata), series)

    def keep_outcome(self, series: str, outcome: Outcome) -> None:
        """Keep an outcome in the series' metadata, so that a lost ledger loses nothing."""
        self._keep(series, self._series_metadata, outcome.as_json())

    def assessments(self, series: str) -> tuple[Assessment, ...]:
        """What physicians said of a series, the latest first, from the metadata after the outcome's."""
        return assessments_of(self._kept(series, self._series_metadata + 1), series)

    def keep_assessments(self, series: str, assessments: Sequence[Assessment]) -> None:
        """Keep what physicians said in the series' metadata."""
        kept = [one.model_dump(mode="json") for one in assessments]
        self._keep(series, self._series_metadata + 1, kept)

    def corrections(self, series: str) -> tuple[Correction, ...]:
        """Segmentations that somebody has corrected, the latest first, from the metadata after those."""
        return corrections_of(self._kept(series, self._series_metadata + 2), series)

    def keep_corrections(self, series: str, corrections: Sequence[Correction]) -> None:
        """Keep what is known of corrected Segmentations in the series' metadata."""
        kept = [one.model_dump(mode="json") for one in corrections]
        self._keep(series, self._series_metadata + 2, kept)

    def source(self, record: SeriesRecord) -> ApiSeries:
        """The series as a source of instances."""
        return ApiSeries(api=self, instance_ids=record.instances)

    def tags(self, instance: str) -> dict[str, Any]:
        """The tags of an instance before its pixels, by their keywords."""
        return dict(self._json(f"/instances/{instance}/simplified-tags"))

    def other_outcomes(self, series: str) -> list[tuple[str, Outcome]]:
        """(an instance, outcome) of every series that was read in the other studies under the same ID.

        At most the 100 latest studies are looked at: shared identifiers such as ``ANONYMOUS`` may hold
        a whole archive. Whether it is the same person has to be asked of the tags.
        """
        study = self._json(f"/series/{series}/study")
        patient = self._json(f"/studies/{study['ID']}/patient")
        others = [other for other in patient["Studies"][-100:] if other != study["ID"]]
        found = []
        for other in self._each(others, lambda other: self._json(f"/studies/{other}")):
            for sibling in other["Series"]:
                outcome = self.outcome(sibling)
                instances = self._json(f"/series/{sibling}")["Instances"] if outcome else []
                if outcome and instances:
                    found.append((instances[0], outcome))
        return found

    def can_label(self) -> bool:
        """Whether this Orthanc keeps labels (since 1.12.0)."""
        return bool(self._json("/system").get("HasLabels", False))

    def labels(self, level: str, resource: str) -> frozenset[str]:
        """The labels of one of the ``series`` or ``studies``."""
        return frozenset(self._json(f"/{level}/{resource}/labels"))

    def label(self, level: str, resource: str, *, add: Iterable[str], remove: Iterable[str]) -> None:
        """Give one of the ``series`` or ``studies`` labels and take others away."""
        uri = f"/{level}/{resource}/labels"
        for label in add:
            self._transport.put(f"{uri}/{label}", b"")
        for label in remove:
            self._transport.delete(f"{uri}/{label}")

    def _instance_digest(self, instance: str) -> str:
        try:
            return self._get(f"/instances/{instance}/attachments/dicom/md5").decode()
        except NotHeld:
            # Where Orthanc keeps no MD5 (StoreMD5ForAttachments off) the size has to do.
            return self._get(f"/instances/{instance}/attachments/dicom/size").decode()

    def _kept(self, series: str, number: int) -> Any:
        """The JSON in a metadata of a series; None where there is none."""
        try:
            return self._json(f"/series/{series}/metadata/{number}")
        except NotHeld:
            return None
        except ValueError as error:
            log.warning("series %s: metadata %d is no JSON and counts as none: %s", series, number, error)
            return None

    def _keep(self, series: str, number: int, value: Any) -> None:
        self._transport.put(f"/series/{series}/metadata/{number}", json.dumps(value).encode())

    def _get(self, uri: str) -> bytes:
        return self._transport.get(uri)

    def _json(self, uri: str) -> Any:
        return json.loads(self._transport.get(uri))

    def _post(self, dicom: bytes) -> tuple[str, str]:
        try:
            answer = json.loads(self._transport.post("/instances", dicom))
        except NoRoom:
            raise
        except (NotHeld, OSError) as error:
            raise OSError(f"Orthanc did not store a result: {error}") from error
        status = str(answer["Status"])
        if status not in ("Success", "AlreadyStored"):
            raise OSError(f"Orthanc did not store a result: {status}")
        return status, str(answer["ID"])

    def _metadata(self, resource: str, name: str) -> str:
        """A metadata of a resource as text; empty where it has none. Raises NotHeld without the resource."""
        if name not in self._json(f"{resource}/metadata"):
            return ""
        return self._get(f"{resource}/metadata/{name}").decode().strip()

    @staticmethod
    def _each(names: Iterable[str], look: Callable[[str], _T]) -> list[_T]:
        """What is told of each of several resources; those deleted meanwhile are passed over."""
        found = []
        for name in names:
            with contextlib.suppress(NotHeld):
                found.append(look(name))
        return found


@dataclass(frozen=True, kw_only=True)
class ApiSeries:
    """A series in Orthanc as a source of instances (``plugin.dicom.imaging.SeriesSource``)."""

    api: OrthancApi
    instance_ids: Sequence[str]

    def read(self, instance_id: str) -> bytes:
        """The DICOM file of one instance."""
        return self.api.read_instance(instance_id)
