"""What ``./run export precision`` measured: kept as ``precision.json``, shown in the README."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from export.paths import ONNX_MODELS

Precision = Literal["float32", "float16 storage", "int8", "int8, 7-bit weights"]
PRECISIONS: tuple[Precision, ...] = ("float32", "float16 storage", "int8", "int8, 7-bit weights")
PATH = ONNX_MODELS / "precision.json"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Cost(_Strict):
    """What a graph costs and how far its answers are from float32.

    ``size`` of the file in bytes; ``seconds`` of one core: median for one input; ``mean_change`` and
    ``largest_change`` of a probability (of a pixel's, in segmentation) over all inputs.
    """

    precision: Precision
    size: int
    seconds: float
    mean_change: float
    largest_change: float


class Value(_Strict):
    """A figure in one precision; ``interval`` of its difference to float32, 95 %, paired, by patient."""

    precision: Precision
    value: float
    interval: tuple[float, float] | None


class Compared(_Strict):
    """One figure in all precisions, on the same ``n`` cases."""

    name: str
    n: int
    measured_on: str
    values: tuple[Value, ...]


class Report(_Strict):
    """One model. ``inputs``: how many were timed; ``calibrated_on`` so many training pictures."""

    model: str
    host: str
    networks: int
    inputs: int
    calibrated_on: int
    costs: tuple[Cost, ...]
    figures: tuple[Compared, ...]


class Reports(_Strict):
    """All that was measured."""

    reports: tuple[Report, ...] = ()


def read_reports(path: Path = PATH) -> Reports:
    """What was measured so far."""
    return Reports.model_validate_json(path.read_bytes()) if path.is_file() else Reports()


def keep_report(report: Report, path: Path = PATH) -> None:
    """Put a model's report in the place of its last one."""
    others = [kept for kept in read_reports(path).reports if kept.model != report.model]
    reports = Reports(reports=tuple(sorted([*others, report], key=lambda kept: kept.model)))
    path.write_text(reports.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _costs(reports: Reports) -> list[str]:
    lines = [
        _row(
            "Model",
            "Precision",
            "File, MB",
            "CPU ms per input",
            "Times as fast",
            "Mean change",
            "Largest change",
        ),
        "|---|---|---|---|---|---|---|",
    ]
    for report in reports.reports:
        whole = report.costs[0].seconds
        for cost in report.costs:
            cells = (f"{cost.size / 1e6:.1f}", f"{cost.seconds * 1e3:.1f}", f"{whole / cost.seconds:.2f}")
            changes = (f"{cost.mean_change:.4f}", f"{cost.largest_change:.3f}")
            lines.append(_row(report.model, cost.precision, *cells, *changes))
    return lines


def _cell(value: Value) -> str:
    if value.interval is None:
        return f"{value.value:.4f}"
    low, high = (f"{end:+z.4f}" for end in value.interval)
    return f"{value.value:.4f} ({low} to {high})"


def _figures(reports: Reports) -> list[str]:
    lines = [_row("Model", "Figure", "n", *PRECISIONS), "|---" * (3 + len(PRECISIONS)) + "|"]
    for report in reports.reports:
        for figure in report.figures:
            lines.append(_row(report.model, figure.name, str(figure.n), *(_cell(v) for v in figure.values)))
    return lines


def table(reports: Reports) -> str:
    """Costs and figures as Markdown, with the machines and the sizes of the samples."""
    notes = [
        f"- {r.model}: {r.networks} network(s), {r.inputs} inputs timed, calibrated on {r.calibrated_on} "
        f"training pictures each; {r.host}"
        for r in reports.reports
    ]
    return "\n".join([*_costs(reports), "", *_figures(reports), "", *notes]) + "\n"
