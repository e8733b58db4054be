"""Who a result is: UIDs derived from what it was made of, and the moment it is dated.

The same series content read by the same models gives the same SOP Instance UIDs, so that storing a
result twice stores one object (DICOM PS3.5 Section B.2: UUID-derived UIDs under 2.25).
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime

_NAMESPACE = uuid.UUID("6ff1a1de-3d0a-5f0b-9a53-0c5f6a1c7b11")

KINDS = ("sr", "seg", "pdf", "attention")


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What the results of one reading are derived from.

    ``models`` is the fingerprint of the models in use, ``created`` dates the results (kept with the
    content's record, so that a second reading of the same content writes the same date).
    """

    series_uid: str
    fingerprint: str
    models: str
    created: datetime

    def sop_instance_uid(self, kind: str) -> str:
        """SOP Instance UID of the result of that kind (one of :data:`KINDS`)."""
        return self._derive("instance", kind)

    def series_instance_uid(self, kind: str) -> str:
        """Series Instance UID of the result of that kind."""
        return self._derive("series", kind)

    def tracking_uid(self, what: str) -> str:
        """Tracking UID of one measured thing, such as ``lung-left`` (DICOM TID 1501)."""
        return self._derive("tracking", what)

    def _derive(self, level: str, what: str) -> str:
        seed = "\n".join((level, what, self.series_uid, self.fingerprint, self.models))
        return f"2.25.{uuid.uuid5(_NAMESPACE, hashlib.sha256(seed.encode()).hexdigest()).int}"
