"""The routes of a study: those of each of its series together."""

from __future__ import annotations

from typing import Any

from plugin.domain.errors import NoCandidate, NotHeld
from plugin.service import Service
from plugin.web.http import HttpError, HttpRequest
from plugin.web.series import shown, why_unknown


def study(service: Service, _request: HttpRequest, name: str) -> dict[str, Any]:
    """``GET /ai/studies/{id}``: what is known of its series, why others are not read, which are results."""
    known, unknown = [], []
    for series in _series_of(service, name):
        entry = service.ledger.get(series) if service.ledger is not None else None
        if entry is None:
            unknown.append(series)
        else:
            known.append(shown(service, entry))
    stored = {instance for one in known for instance in _made_of(one)}
    results = [series for series in unknown if _instances(service, series) & stored]
    others = [
        {"series": series, "reason": why_unknown(service, series)}
        for series in unknown
        if series not in results
    ]
    return {"study": name, "series": known, "others": others, "results": results}


def _made_of(known: dict[str, Any]) -> list[str]:
    """The instances that a reading came to: results, physicians' words, corrected outlines."""
    return [
        *(instance for instance in known["outputs"].values() if instance),
        *(review["report"] for review in known["reviews"]),
        *(correction["segmentation"] for correction in known["corrections"]),
    ]


def _instances(service: Service, series: str) -> set[str]:
    try:
        return set(service.pacs.series(series).instances)
    except NotHeld:
        return set()


def run_study(service: Service, request: HttpRequest, name: str) -> dict[str, Any]:
    """``POST /ai/studies/{id}/run``: read every series of it that is read at all again, now."""
    asked = 0
    for series in _series_of(service, name):
        try:
            service.request(series)
        except (NoCandidate, NotHeld):
            continue
        except RuntimeError as error:
            raise HttpError(503, str(error)) from error
        asked += 1
    if asked == 0:
        raise HttpError(409, "no series of this study is read")
    return study(service, request, name)


def _series_of(service: Service, name: str) -> tuple[str, ...]:
    try:
        return service.pacs.study(name)
    except NotHeld:
        raise HttpError(404, "Orthanc does not hold this study") from None
