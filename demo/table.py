"""The demo's table: what became of each series, in columns that fit a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from demo.client import Saved, Settled, Sources

HEADINGS = ("Series", "Verdict", "Findings", "Seconds")
WIDTHS = (34, 34, 40, 7)


def table(sources: Sources, settled: Settled, saved: Saved) -> str:
    """One row a series, and below it the files of its results."""
    rule = "  ".join("-" * width for width in WIDTHS)
    lines = [*_row(HEADINGS), rule]
    for series, entry in settled.items():
        seconds = _seconds(entry)
        cells = (sources[series].label, _verdict(entry), _findings(entry), seconds)
        lines += _row(cells)
        lines += [f"  {kind:9} {_shortest(path)}" for kind, path in saved[series].items()]
        lines.append("")
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> list[str]:
    wrapped = [
        [piece for line in cell.splitlines() for piece in textwrap.wrap(line, width)] or [""]
        for cell, width in zip(cells, WIDTHS, strict=True)
    ]
    height = max(len(cell) for cell in wrapped)
    return [
        "  ".join(
            f"{cell[line] if line < len(cell) else '':{width}}"
            for cell, width in zip(wrapped, WIDTHS, strict=True)
        ).rstrip()
        for line in range(height)
    ]


def _verdict(entry: Mapping[str, Any]) -> str:
    if entry.get("error"):
        return f"{entry['state']}: {entry['error']}"
    reasons: Iterable[Any] = (entry.get("verdict") or {}).get("reasons", ())
    return "\n".join([entry["state"], *(_reason(reason) for reason in reasons)])


def _reason(reason: Any) -> str:
    if isinstance(reason, Mapping):
        return f"{reason.get('code', '')}: {reason.get('message', '')}"
    return str(reason)


def _findings(entry: Mapping[str, Any]) -> str:
    findings = entry.get("findings") or {}
    lines = []
    joined = findings.get("joined")
    for said in [*([joined] if joined else []), *findings.get("classifications", ())]:
        chances = ", ".join(f"{name} {value:.2f}" for name, value in said["probabilities"].items())
        lines.append(f"{said['projection'] or 'X-ray'}: {said['called']} ({chances})")
    lungs = findings.get("lungs") or {}
    volumes = "{volume_ml:.0f} mL, findings {findings_ml:.0f} mL ({percent:.1f} %)"
    lines += [f"{side} lung {volumes.format(**lungs[side])}" for side in ("left", "right") if lungs]
    return "\n".join(lines)


def _seconds(entry: Mapping[str, Any]) -> str:
    timings = entry.get("timings") or {}
    total = timings.get("total", sum(timings.values()))
    return f"{total:.1f}" if timings else ""


def _shortest(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
