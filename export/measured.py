"""What ``evaluate`` measured of a model, kept beside its card as ``figures.json``."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

from export.paths import ONNX_MODELS
from plugin.domain.volume_errors import VolumeErrors
from plugin.models.cards import Figure

_log = logging.getLogger(__name__)


class Measured(BaseModel):
    """Figures of a model and what was chosen from the same measurement.

    ``thresholds`` are operating points by class name; ``temperature`` divides the logits.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    figures: tuple[Figure, ...]
    shortcut_checks: tuple[Figure, ...] = ()
    temperature: float = Field(default=1.0, gt=0)
    thresholds: dict[str, float] = Field(default_factory=dict)
    volume_errors: VolumeErrors | None = None


def _path(name: str) -> Path:
    return ONNX_MODELS / name / "figures.json"


def read_measured(name: str) -> Measured:
    """What was last measured of the model ``name``. Raises FileNotFoundError where nothing was."""
    path = _path(name)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: run `./run export evaluate {name}` first")
    return Measured.model_validate_json(path.read_bytes())


def write_measured(name: str, measured: Measured) -> Path:
    """Keep what was measured of the model ``name``."""
    path = _path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(measured.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return path


def log_figures(name: str, figures: Iterable[Figure]) -> None:
    """Say in the log what was measured of the model ``name``."""
    for each in figures:
        _log.info("%s: %s = %s %s, n=%d", name, each.name, each.value, each.interval, each.n)


class Told(Protocol):
    """What a table is made of: a card, or a joined statement."""

    @property
    def name(self) -> str:
        """Of the model."""

    @property
    def figures(self) -> tuple[Figure, ...]:
        """What was measured."""

    @property
    def shortcut_checks(self) -> tuple[Figure, ...]:
        """What it can tell without looking at the lungs."""


def table(cards: Iterable[Told], most: int | None = None) -> str:
    """The figures on the cards, or the ``most`` first of each, as a Markdown table."""
    lines = [
        "| Model | Figure | Value | 95 % interval | n | Measured on |",
        "|---|---|---|---|---|---|",
    ]
    for card in cards:
        for row in (*card.figures, *card.shortcut_checks)[:most]:
            value = "undefined" if row.value is None else f"{row.value:.3f}"
            span = "" if row.interval is None else f"{row.interval[0]:.3f} to {row.interval[1]:.3f}"
            lines.append(f"| {card.name} | {row.name} | {value} | {span} | {row.n} | {row.measured_on} |")
    return "\n".join(lines) + "\n"
