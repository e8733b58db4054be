"""What identifies a result: UIDs derived from all that shaped it, and its date.

The same reading of the same series gives the same SOP Instance UIDs, so that storing a result twice stores
one object (DICOM PS3.5 Section B.2: UUID-derived UIDs under 2.25).
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime

_NAMESPACE = uuid.UUID("6ff1a1de-3d0a-5f0b-9a53-0c5f6a1c7b11")


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What the results of one reading are derived from.

    ``reading`` is the fingerprint of all that shapes them: the series' content, the models with their
    cards, the settings, the plugin's version, the patient's history, a physician's word on an earlier
    result. ``created`` dates the results (kept with the reading, so that the same reading again writes the
    same date).
    """

    series_uid: str
    reading: str
    created: datetime

    def sop_instance_uid(self, kind: str) -> str:
        """SOP Instance UID of the result of that kind (``plugin.domain.kinds.ResultKind``)."""
        return self._derive("instance", kind)

    def series_instance_uid(self, kind: str) -> str:
        """Series Instance UID of the result of that kind."""
        return self._derive("series", kind)

    def tracking_uid(self, what: str) -> str:
        """Tracking UID of one measured thing, such as ``lung-left`` (DICOM TID 1501)."""
        return self._derive("tracking", what)

    def _derive(self, level: str, what: str) -> str:
        seed = "\n".join((level, what, self.series_uid, self.reading))
        return f"2.25.{uuid.uuid5(_NAMESPACE, hashlib.sha256(seed.encode()).hexdigest()).int}"


def orthanc_id(*identifiers: str) -> str:
    """Orthanc's id of a resource, known before it is stored: SHA-1 over its identifiers.

    An instance has four: Patient ID, Study, Series and SOP Instance UID.
    """
    joined = "|".join(identifier.strip(" \0") for identifier in identifiers)
    digest = hashlib.sha1(joined.encode(), usedforsecurity=False).hexdigest()
    return "-".join(digest[start : start + 8] for start in range(0, 40, 8))
