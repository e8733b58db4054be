"""Whether the site's rule lets a series go ahead of all others."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from plugin.domain.errors import NotHeld
from plugin.domain.pacs import Pacs, SeriesRecord
from plugin.urgent_settings import UrgentRule

log = logging.getLogger(__name__)

_REQUEST = "RequestAttributesSequence"
"""Where an image keeps what was asked for (DICOM PS3.3 Section 10.6)."""

_LONGEST = 1024
"""Of a longer value so many characters are looked at."""


def goes_ahead(pacs: Pacs, record: SeriesRecord, rules: Sequence[UrgentRule]) -> bool:
    """Whether one of its images, as Orthanc has it, is urgent by the rules; never raises."""
    if not rules or not record.instances:
        return False
    try:
        return is_urgent(pacs.tags(record.instances[0]), rules)
    except (NotHeld, OSError, ValueError) as error:  # it is read all the same, in its turn
        log.warning("series %s: whether it is urgent cannot be told: %s", record.series, type(error).__name__)
        return False


def is_urgent(tags: Mapping[str, Any], rules: Sequence[UrgentRule]) -> bool:
    """Whether the tags of an image, by their keywords, meet all that one of the rules asks for."""
    return any(all(_has(tags, keyword, patterns) for keyword, patterns in rule.items()) for rule in rules)


def _has(tags: Mapping[str, Any], keyword: str, patterns: Sequence[str]) -> bool:
    values = [value.upper() for value in _values(tags, keyword)]
    return any(fnmatchcase(value, pattern.upper()) for value in values for pattern in patterns)


def _values(tags: Mapping[str, Any], keyword: str) -> Iterator[str]:
    """The values of an attribute, of the image itself and of what was asked for."""
    requests = tags.get(_REQUEST)
    for place in (tags, *(requests if isinstance(requests, list) else ())):
        text = place.get(keyword) if isinstance(place, Mapping) else None
        if isinstance(text, str):
            yield from (value.strip(" \0") for value in text[:_LONGEST].split("\\"))
