"""How requests reach Orthanc, and what its refusals mean, whichever way they travel."""

from __future__ import annotations

from typing import Protocol

from plugin.domain.errors import NoRoom, NotHeld

_UNKNOWN = (7, 17)
"""Orthanc's codes InexistentItem and UnknownResource."""

FULL_STORAGE = 19
_NO_ROOM = (14, FULL_STORAGE, 1009, 1010)
"""CannotWriteFile, FullStorage, SQLiteCannotRun and SQLiteCannotStep: what Orthanc answers to what it is to
keep while the disk of its storage or of its index is full, or while it has reached MaximumStorageSize or
MaximumPatientCount and may not delete others (MaximumStorageMode "Reject").
"""


class Transport(Protocol):
    """How requests reach Orthanc. What Orthanc refuses raises what :func:`refusal` makes of it."""

    def get(self, uri: str) -> bytes:
        """GET: the body of the answer."""

    def post(self, uri: str, body: bytes) -> bytes:
        """POST: the body of the answer."""

    def put(self, uri: str, body: bytes) -> bytes:
        """PUT: the body of the answer."""

    def delete(self, uri: str) -> None:
        """DELETE."""


def refusal(uri: str, code: int | None, words: str) -> Exception:
    """What to raise for a request that Orthanc refuses with a code of its own (``OrthancStatus``) and words.

    NotHeld where a resource does not exist, NoRoom where Orthanc cannot keep anything now, else OSError.
    """
    if code in _UNKNOWN:
        return NotHeld(f"Orthanc does not hold {uri}")
    if code in _NO_ROOM:
        return NoRoom(f"Orthanc has no room for results: {words}")
    return OSError(f"Orthanc could not answer {uri}: {words}")
