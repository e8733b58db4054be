"""The networks that ``python -m export`` can train, measure and export, by name.

Each module of this folder has ``MODELS``: a tuple of objects with the methods of ``Model``.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Protocol

from export.measured import Measured

MODULES: tuple[str, ...] = (
    "xray",
    "ct_reject",
    "ct_classify",
    "ct_lungs",
    "ct_segment",
    "ct_volume",
    "ct_class_volume",
    "ct_joined",
)


class Model(Protocol):
    """One network of ``onnx_models``."""

    @property
    def name(self) -> str:
        """The name of the card and of its folder."""

    def train(self) -> None:
        """Train TRAIN (measured) and PROD (shipped); goes on from the last checkpoint."""

    def evaluate(self) -> Measured:
        """Measure the TRAIN networks on the cases that they did not see."""

    def onnx(self, measured: Measured) -> Path:
        """Write graph and card of the PROD network with the measured figures; the card's path."""


def models() -> dict[str, Model]:
    """Every model by its name."""
    found: list[Model] = []
    for module in MODULES:
        found.extend(import_module(f"export.models.{module}").MODELS)
    return {model.name: model for model in found}
