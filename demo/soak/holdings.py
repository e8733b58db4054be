"""What an Orthanc holds: image series, and results of the plugin with the series that they speak of."""

from __future__ import annotations

import io
import urllib.error
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pydicom
from pydicom.dataset import Dataset

from demo.rest import Orthanc

KINDS = {"SR": "sr", "DOC": "pdf", "SEG": "seg", "OT": "attention", "KO": "key_images"}
"""Kind of result by its DICOM Modality."""

PRODUCT = "orthanc-chest-ai"
"""Manufacturer's Model Name of every result."""

_PAGE = 500
_EQUIPMENT = ("0008-1090", "0018-a001/0/0008-1090")
_SOURCES_LOOKED_UP = 50


@dataclass(frozen=True, kw_only=True)
class Series:
    """A series that is no result of the plugin."""

    series: str
    study: str
    modality: str


@dataclass(frozen=True, kw_only=True)
class Result:
    """A result of the plugin. ``sources``: the image series in Orthanc that it was made from."""

    instance: str
    kind: str
    study: str
    sources: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """Everything that an audit wants to know of Orthanc's content, by Orthanc id."""

    images: dict[str, Series]
    results: dict[str, Result]


def holdings(orthanc: Orthanc) -> Holdings:
    """Walk through every series that Orthanc holds, and read every result of the plugin."""
    images: dict[str, Series] = {}
    found: list[tuple[str, str, str]] = []
    for record in _every_series(orthanc):
        modality = record["MainDicomTags"].get("Modality", "").strip()
        own = [i for i in record["Instances"] if modality in KINDS and _is_own(orthanc, i)]
        found += [(instance, KINDS[modality], record["ParentStudy"]) for instance in own]
        if not own:
            images[record["ID"]] = Series(series=record["ID"], study=record["ParentStudy"], modality=modality)
    lookup = _Lookup(orthanc)
    results = {
        instance: Result(
            instance=instance,
            kind=kind,
            study=study,
            sources=_sources(orthanc, instance, study, lookup, images),
        )
        for instance, kind, study in found
    }
    return Holdings(images=images, results=results)


def _every_series(orthanc: Orthanc) -> Iterator[dict[str, Any]]:
    since = 0
    while page := orthanc.get(f"/series?expand&since={since}&limit={_PAGE}"):
        yield from page
        since += len(page)


def _is_own(orthanc: Orthanc, instance: str) -> bool:
    return any(_value(orthanc, instance, tag) == PRODUCT for tag in _EQUIPMENT)


def _value(orthanc: Orthanc, instance: str, tag: str) -> str:
    try:
        return orthanc.read(f"/instances/{instance}/content/{tag}").decode(errors="replace").strip(" \0")
    except urllib.error.HTTPError:  # the file has no such attribute
        return ""


def _sources(
    orthanc: Orthanc, instance: str, study: str, lookup: _Lookup, images: dict[str, Series]
) -> frozenset[str]:
    """The image series that a result refers to, as far as Orthanc holds them.

    A report refers to the other results of its reading, too: those are no sources. Where several series
    bear one UID, those of the result's own study are meant.
    """
    result = pydicom.dcmread(io.BytesIO(orthanc.read(f"/instances/{instance}/file")))
    for keyword in ("SeriesInstanceUID", "ReferencedSOPInstanceUID"):
        uids = _referenced(result, keyword)[:_SOURCES_LOOKED_UP]
        found = {series for uid in uids for series in lookup.series(uid) if series in images}
        beside = {series for series in found if images[series].study == study}
        if found:
            return frozenset(beside or found)
    return frozenset()


def _referenced(result: Dataset, keyword: str) -> list[str]:
    """The distinct values of an attribute in the result's sequences, in their order."""
    nested = (
        str(element.value)
        for sequence in result
        if sequence.VR == "SQ"
        for item in sequence.value
        for element in item.iterall()
        if element.keyword == keyword
    )
    return list(dict.fromkeys(nested))


class _Lookup:
    """The Orthanc series that a Series or SOP Instance UID belongs to, each asked for once."""

    def __init__(self, orthanc: Orthanc) -> None:
        self._orthanc = orthanc
        self._known: dict[str, tuple[str, ...]] = {}

    def series(self, uid: str) -> tuple[str, ...]:
        if uid not in self._known:
            found = self._orthanc.post("/tools/lookup", uid.encode())
            series = [entry["ID"] for entry in found if entry["Type"] == "Series"]
            instances = [entry["ID"] for entry in found if entry["Type"] == "Instance"]
            series += [self._orthanc.get(f"/instances/{i}")["ParentSeries"] for i in instances]
            self._known[uid] = tuple(series)
        return self._known[uid]
