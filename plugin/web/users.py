"""Who asks, as far as Orthanc or a proxy before it has checked that."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Users:
    """How the user of a request is known.

    ``passwords``: whether Orthanc asks everybody for a password, so that the name in a request's
    credentials is that of one of its users. ``header``: a header (lower case) in which a proxy names the
    user, having taken away what the client itself may have put there; empty where there is none.
    """

    passwords: bool = False
    header: str = ""

    def of(self, headers: Mapping[str, str]) -> str | None:
        """The user's name; None where nobody has checked it. ``headers`` by name in lower case."""
        if self.header:
            return headers.get(self.header, "").strip() or None
        return _basic(headers.get("authorization", "")) if self.passwords else None


def _basic(credentials: str) -> str | None:
    """The user in Basic credentials (RFC 7617)."""
    scheme, _, encoded = credentials.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, _ = base64.b64decode(encoded.strip()).decode().partition(":")
    except ValueError:  # not Base64 (binascii.Error), no UTF-8, no ASCII
        return None
    return user or None
