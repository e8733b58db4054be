"""The audit that every round of torture ends with, and that any running server can be put to.

It asks over HTTP alone and changes nothing. What it holds against the plugin: every candidate series that
Orthanc holds is settled, with a reason; each has one current set of results, the one that ``outputs``
names; no result without its series; nothing left of an earlier reading; a ledger that agrees with itself.
"""

from __future__ import annotations

import json
import urllib.error
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.client import SETTLED
from demo.rest import Orthanc
from demo.soak import ledger_file
from demo.soak.holdings import Holdings, Result, holdings
from demo.soak.problems import Kind, Problem

ALL_RESULTS = ("sr", "pdf", "seg", "attention")
_LISTED = 1000


@dataclass(frozen=True, kw_only=True)
class Site:
    """What the audited plugin's settings say: which results are stored, whether old ones are kept."""

    results: Collection[str] = ALL_RESULTS
    superseded: str = "delete"


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A series that was sent: its UID, the acknowledged SOP instances, the states that it may end in."""

    uid: str
    name: str
    acknowledged: Collection[str]
    expected: Collection[str] = SETTLED


def audit(
    orthanc: Orthanc, *, site: Site | None = None, sent: Iterable[Sent] = (), ledger: Path | None = None
) -> list[Problem]:
    """Everything that is wrong with a server that has come to rest.

    ``sent``: what was acknowledged, to be found again; ``ledger``: the ledger's SQLite file, where it
    can be read. Raises OSError where Orthanc does not answer.
    """
    held = holdings(orthanc)
    entries, problems = _entries(orthanc, held)
    of_series = _by_source(held)
    for series, entry in entries.items():
        problems += _state(series, entry)
        problems += _outputs(series, entry, held)
        problems += _set(series, entry, of_series.get(series, ()), site or Site())
    problems += _orphans(held, entries)
    problems += _counts(orthanc, entries)
    for one in sent:
        problems += _arrived(orthanc, one, entries)
    if ledger is not None:
        problems += ledger_file.check(ledger, Counter(entry["state"] for entry in entries.values()))
    return problems


def _entries(orthanc: Orthanc, held: Holdings) -> tuple[dict[str, Mapping[str, Any]], list[Problem]]:
    """What the plugin says of each candidate series, and what it does not say."""
    entries: dict[str, Mapping[str, Any]] = {}
    problems = []
    for series, image in held.images.items():
        try:
            entries[series] = orthanc.get(f"/ai/series/{series}")
        except urllib.error.HTTPError as error:
            reason = json.loads(error.read()).get("error", "")
            if "is not read" not in reason:
                text = f"the plugin does not know this {image.modality or 'series'}: {reason}"
                problems.append(Problem(kind=Kind.LOST, series=series, text=text))
    for entry in orthanc.get(f"/ai/series?limit={_LISTED}"):
        if entry["series"] not in held.images:
            text = "the ledger lists a series that Orthanc does not hold"
            problems.append(Problem(kind=Kind.LEDGER, series=entry["series"], text=text))
    return entries, problems


def _state(series: str, entry: Mapping[str, Any]) -> Iterator[Problem]:
    state = entry["state"]
    if state not in SETTLED:
        text = f"{state} after {entry['attempts']} attempts: {entry['error'] or 'no error is told'}"
        yield Problem(kind=Kind.OPEN, series=series, text=text)
    if state == "rejected" and not entry["verdict"]["reasons"]:
        yield Problem(kind=Kind.NO_REASON, series=series, text="rejected, and no rule or network says why")
    if state == "failed" and not entry["error"]:
        yield Problem(kind=Kind.NO_REASON, series=series, text="failed without an error")


def _outputs(series: str, entry: Mapping[str, Any], held: Holdings) -> Iterator[Problem]:
    """What ``outputs`` names is held, and is a result of that kind, of this series."""
    for kind, instance in _named(entry).items():
        result = held.results.get(instance)
        if result is None:
            text = f"outputs names the {kind} {instance}, which Orthanc does not hold"
            yield Problem(kind=Kind.GHOST, series=series, text=text)
        elif result.kind != kind or series not in result.sources:
            text = f"outputs names {instance} as its {kind}: that is the {result.kind} of other images"
            yield Problem(kind=Kind.ORPHAN, series=series, text=text)


def _set(series: str, entry: Mapping[str, Any], results: Sequence[Result], site: Site) -> Iterator[Problem]:
    """One current set: the expected kinds once each, nothing beside it."""
    named = _named(entry)
    if entry["state"] in SETTLED:
        expected, allowed = _expected(entry, site)
        for kind in sorted(expected - named.keys()):
            gone = ", ".join(entry["gone"])
            text = f"{entry['state']}, and no {kind} is named" + (f"; gone: {gone}" if gone else "")
            yield Problem(kind=Kind.MISSING, series=series, text=text)
        for kind in sorted(named.keys() - expected - allowed):
            text = f"{entry['state']}, and yet outputs names the {kind} {named[kind]}"
            yield Problem(kind=Kind.DOUBLED, series=series, text=text)
    for result in results:
        if result.instance in named.values():
            continue
        earlier = result.instance in entry["superseded"]
        if earlier and site.superseded == "keep":
            continue
        kind = Kind.GHOST if earlier or result.kind not in named else Kind.DOUBLED
        beside = "left of an earlier reading" if kind == Kind.GHOST else f"beside {named[result.kind]}"
        text = f"{entry['state']}, and the {result.kind} {result.instance} is held, {beside}"
        yield Problem(kind=kind, series=series, text=text)


def _expected(entry: Mapping[str, Any], site: Site) -> tuple[set[str], set[str]]:
    """The kinds of results that a settled series must have, and those that it may have."""
    if entry["state"] == "rejected":
        return set(), {"sr"}  # RejectionSr
    if entry["state"] != "done":
        return set(), set()
    kinds = {"sr", "pdf"}
    if entry["modality"] != "ct":
        kinds.add("attention")
    elif (entry["findings"] or {}).get("lungs"):
        kinds.add("seg")
    return kinds & set(site.results), {"key_images"}  # where the settings want them and something was found


def _orphans(held: Holdings, entries: Mapping[str, Any]) -> Iterator[Problem]:
    for result in held.results.values():
        if not result.sources:
            text = f"the {result.kind} {result.instance} speaks of no series that Orthanc holds"
            yield Problem(kind=Kind.ORPHAN, text=text)
        for source in result.sources:
            if held.images[source].study != result.study:
                text = f"the {result.kind} {result.instance} lies in another study than its source"
                yield Problem(kind=Kind.ORPHAN, series=source, text=text)
        for source in result.sources - entries.keys():
            text = f"the {result.kind} {result.instance} is of a series that the plugin does not read"
            yield Problem(kind=Kind.ORPHAN, series=source, text=text)


def _counts(orthanc: Orthanc, entries: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    status = orthanc.get("/ai/status")
    if status["state"] == "disabled":
        yield Problem(kind=Kind.OPEN, text=f"the plugin is disabled: {status['reason']}")
    found = Counter(entry["state"] for entry in entries.values())
    told = {state: count for state, count in status["counts"].items() if count}
    if told != dict(found):
        text = f"/ai/status counts {told}, the series one by one are {dict(found)}"
        yield Problem(kind=Kind.LEDGER, text=text)


def _arrived(orthanc: Orthanc, sent: Sent, entries: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    """What Orthanc acknowledged it holds; and the series ended as it may."""
    for uid in sent.acknowledged:
        if not orthanc.post("/tools/lookup", uid.encode()):
            yield Problem(kind=Kind.LOST, text=f"{sent.name}: {uid} was acknowledged and is not held")
    found = orthanc.post("/tools/lookup", sent.uid.encode())
    for series in (entry["ID"] for entry in found if entry["Type"] == "Series"):
        entry = entries.get(series)
        if entry is None:
            if sent.expected:
                text = f"{sent.name}: a candidate, and the plugin does not know it"
                yield Problem(kind=Kind.LOST, series=series, text=text)
        elif entry["state"] in SETTLED and entry["state"] not in sent.expected:
            why = entry["error"] or [reason["code"] for reason in entry["verdict"]["reasons"]]
            expected = " or ".join(sent.expected) or "not read"
            text = f"{sent.name}: {entry['state']} instead of {expected}: {why}"
            yield Problem(kind=Kind.UNEXPECTED, series=series, text=text)


def _named(entry: Mapping[str, Any]) -> dict[str, str]:
    return {kind: instance for kind, instance in (entry["outputs"] or {}).items() if instance}


def _by_source(held: Holdings) -> dict[str, list[Result]]:
    found: dict[str, list[Result]] = {}
    for result in held.results.values():
        for source in result.sources:
            found.setdefault(source, []).append(result)
    return found
