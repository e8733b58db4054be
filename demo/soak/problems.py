"""What an audit or a round of torture can find."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The kinds of damage."""

    LOST = "lost"
    """An acknowledged instance or a candidate series that nobody knows of."""
    OPEN = "open"
    """A series that is not settled, or a plugin that does not come to rest."""
    NO_REASON = "no reason"
    """Rejected or failed without saying why."""
    UNEXPECTED = "unexpected"
    """Settled otherwise than what was sent deserves."""
    MISSING = "missing"
    """A result that a series should have."""
    DOUBLED = "doubled"
    """A second result of one kind for one series, or one that the series' state does not allow."""
    GHOST = "ghost"
    """A result of an earlier reading that was not cleared away; an output that Orthanc does not hold."""
    ORPHAN = "orphan"
    """A result whose source series does not exist, or that lies in another study than its source."""
    LEDGER = "ledger"
    """The ledger contradicts itself, the status route or Orthanc."""
    SERVER = "server"
    """Orthanc ended by itself, did not answer, or took more memory than it may."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One finding. ``series`` is the Orthanc id of the source series, empty where none is concerned."""

    kind: Kind
    text: str
    series: str = ""

    def __str__(self) -> str:
        where = f" (series {self.series})" if self.series else ""
        return f"{self.kind}: {self.text}{where}"
