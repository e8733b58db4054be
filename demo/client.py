"""What the demo asks of a PACS with the plugin, over DICOM and HTTP alone, as any other client would."""

from __future__ import annotations

import json
import time
import urllib.error
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.send import DicomFile, c_store, read_header
from demo.server import OrthancServer

SETTLED = ("done", "rejected", "failed")
NOT_A_CANDIDATE = "not read"
"""The state of a series that is stable and that the plugin does not list: no X-ray and no CT."""

LISTING_SECONDS = 8
"""How long after its stability a series may take to be listed."""

LOADING_SECONDS = 120

SILENCE_SECONDS = 900
"""How long nothing at all may change before waiting is given up."""

HEARTBEAT_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class Source:
    """A series that was sent: Orthanc's identifier, and how the table calls it."""

    series: str
    modality: str
    label: str


Sources = Mapping[str, Source]
"""By Orthanc identifier, in the order of the files."""

Settled = Mapping[str, Mapping[str, Any]]
"""What ``GET /ai/series/{id}`` says of each source; only ``state`` for one that is no candidate."""

Saved = Mapping[str, Mapping[str, Path]]
"""The files of each source's results, by kind."""


def wait_until_loaded(server: OrthancServer) -> Mapping[str, Any]:
    """The plugin's status, as soon as its models are loaded or it says why it is disabled.

    Raises TimeoutError where it goes on loading for ``LOADING_SECONDS``.
    """
    started = time.monotonic()
    while True:
        status: Mapping[str, Any] = server.get("/ai/status")
        if status["state"] != "starting":
            return status
        if time.monotonic() - started > LOADING_SECONDS:
            raise TimeoutError(f"the plugin is not ready after {LOADING_SECONDS} s: {status['reason']}")
        time.sleep(0.2)


def upload(server: OrthancServer, folder: Path, files: Sequence[Path]) -> Sources:
    """Send files by C-STORE, and by HTTP what C-STORE cannot carry; tell what arrived."""
    headers = {path: read_header(path) for path in files}
    dicom: list[DicomFile] = [header for header in headers.values() if header is not None]
    print(f"Sending {len(dicom)} DICOM files by C-STORE to port {server.dicom_port} ...", flush=True)
    started = time.monotonic()
    left = c_store(dicom, server.dicom_port)
    left |= dict.fromkeys((path for path, header in headers.items() if header is None), "no DICOM header")
    by_path: dict[Path, list[str]] = {}
    refused = 0
    for path, reason in left.items():
        try:
            by_path[path] = [_post_instance(server, path)]
            print(f"  {path.relative_to(folder)}: sent by HTTP ({reason})")
        except urllib.error.HTTPError:
            refused += 1
            print(f"  {path.relative_to(folder)}: not stored ({reason}; Orthanc refuses it by HTTP too)")
    print(f"  {len(files) - refused} of {len(files)} files stored in {time.monotonic() - started:.1f} s")
    lookup: dict[str, list[str]] = {}
    for header in dicom:
        if header.path not in left and header.series not in lookup:
            lookup[header.series] = _find_series(server, header.series)
        if header.path not in left:
            by_path[header.path] = lookup[header.series]
    return _sources(server, folder, {path: by_path[path] for path in files if path in by_path})


def wait_until_settled(server: OrthancServer, sources: Sources) -> Settled:
    """Watch until every source is settled or plainly no candidate, with a line whenever it moves.

    Raises TimeoutError where nothing moves for ``SILENCE_SECONDS``.
    """
    print(f"Waiting for {len(sources)} series ...", flush=True)
    started = told = moved = time.monotonic()
    settled: dict[str, Mapping[str, Any]] = {}
    stable_since: dict[str, float] = {}
    last = ""
    while len(settled) < len(sources):
        for series in sources:
            if series not in settled:
                entry = _entry(server, series, stable_since)
                if entry["state"] in (*SETTLED, NOT_A_CANDIDATE):
                    settled[series] = entry
                    print(f"  {_clock(started)}  {sources[series].label}: {entry['state']}", flush=True)
        now, line = time.monotonic(), _progress(server, sources, len(settled))
        if line != last:
            moved = now
        if _without_percentage(line) != _without_percentage(last) or now - told > HEARTBEAT_SECONDS:
            told = now
            print(f"  {_clock(started)}  {line}", flush=True)
        if now - moved > SILENCE_SECONDS:
            waiting = ", ".join(source.label for id_, source in sources.items() if id_ not in settled)
            raise TimeoutError(f"nothing moved for {SILENCE_SECONDS} s; still open: {waiting}")
        last = line
        time.sleep(0.3)
    return {series: settled[series] for series in sources}


def save_results(server: OrthancServer, sources: Sources, settled: Settled, folder: Path) -> Saved:
    """Copy every result out of the PACS: the DICOM file, and the PDF and the picture inside it."""
    saved: dict[str, dict[str, Path]] = {}
    for number, (series, entry) in enumerate(settled.items(), start=1):
        name = f"{number:02d}-{sources[series].modality.lower()}"
        files = saved[series] = {}
        for kind, instance in (entry.get("outputs") or {}).items():
            if instance is None:
                continue
            files[kind] = _save(server, f"/instances/{instance}/file", folder / f"{name}-{kind}.dcm")
            if kind == "pdf":
                files[kind] = _save(server, f"/instances/{instance}/pdf", folder / f"{name}-report.pdf")
            if kind == "attention":
                files[kind] = _save(server, f"/instances/{instance}/preview", folder / f"{name}-{kind}.png")
    return saved


def failures(sources: Sources, settled: Settled, saved: Saved, *, must_be_read: bool) -> Iterable[str]:
    """What went wrong, in words: failed series, results missing; unread ones where all must be read."""
    problems = []
    for series, entry in settled.items():
        label, state = sources[series].label, entry["state"]
        if state == "failed":
            problems.append(f"{label} failed: {entry.get('error')}")
        elif state != "done" and must_be_read:
            problems.append(f"{label} was not read: {state}")
        elif state == "done":
            missing = _expected_results(sources[series], entry) - set(saved[series])
            if missing:
                problems.append(f"{label}: no {', '.join(sorted(missing))} was stored")
    return problems


def _expected_results(source: Source, entry: Mapping[str, Any]) -> set[str]:
    if source.modality != "CT":
        return {"sr", "pdf", "attention"}
    return {"sr", "pdf", "seg"} if entry["findings"]["lungs"] else {"sr", "pdf"}


def _post_instance(server: OrthancServer, path: Path) -> str:
    return str(server.post("/instances", path.read_bytes())["ParentSeries"])


def _find_series(server: OrthancServer, uid: str) -> list[str]:
    found = server.post("/tools/lookup", uid.encode())
    return [entry["ID"] for entry in found if entry["Type"] == "Series"]


def _sources(server: OrthancServer, folder: Path, by_path: Mapping[Path, Sequence[str]]) -> Sources:
    paths: dict[str, list[Path]] = {}
    for path, all_series in by_path.items():
        for series in all_series:
            paths.setdefault(series, []).append(path.relative_to(folder))
    sources = {}
    for series, files in paths.items():
        modality = server.get(f"/series/{series}")["MainDicomTags"].get("Modality", "??")
        where = str(files[0]) if len(files) == 1 else f"{len(files)} images in {files[0].parent}/"
        sources[series] = Source(series=series, modality=modality, label=f"{modality} {where}")
    return sources


def _entry(server: OrthancServer, series: str, stable_since: dict[str, float]) -> Mapping[str, Any]:
    try:
        entry: dict[str, Any] = server.get(f"/ai/series/{series}")
        return entry
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        reason = json.loads(error.read())["error"]
    now = time.monotonic()
    stable = server.get(f"/series/{series}")["IsStable"]
    if stable and now > stable_since.setdefault(series, now) + LISTING_SECONDS:
        return {"state": NOT_A_CANDIDATE, "verdict": {"reasons": [reason]}}
    return {"state": "waiting"}


def _progress(server: OrthancServer, sources: Sources, settled: int) -> str:
    parts = [f"{settled} of {len(sources)} settled"]
    for running in server.get("/ai/status")["running"]:
        source = sources.get(running["series"])
        label = source.label if source else running["series"]
        percent = "" if running.get("progress") is None else f" {100 * running['progress']:.0f} %"
        parts.append(f"{label}: {running['stage']}{percent}")
    return "; ".join(parts)


def _without_percentage(line: str) -> str:
    return line.rsplit(" ", 2)[0] if line.endswith("%") else line


def _save(server: OrthancServer, path: str, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(server.read(path))
    return target


def _clock(started: float) -> str:
    return f"{time.monotonic() - started:6.1f} s"
