"""A finished network to its folder in ``onnx_models``: the graph, and the card that tells what it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from torch import nn

from export.measured import Measured
from export.onnx_writer import write_card, write_graph
from export.paths import ONNX_MODELS
from plugin.domain.kinds import Modality
from plugin.models.cards import Card, ModelOutput, OutputClass
from plugin.models.inputs import ModelInput


def write_model(
    network: nn.Module,
    *,
    name: str,
    version: str,
    task: Literal["reject", "classify", "segment"],
    modality: Modality,
    default_rank: int,
    spec: ModelInput,
    outputs: tuple[ModelOutput, ...],
    measured: Measured,
    words: Mapping[str, Any],
) -> Path:
    """Write ``network``, which returns ``outputs`` in their order, and its card; the card's path.

    ``words``: what the card says in words, by key. Weights are stored as float16. Raises RuntimeError where
    PyTorch and ONNX Runtime disagree.
    """
    folder = ONNX_MODELS / name
    exported = write_graph(
        network,
        folder,
        shape=spec.shape,
        outputs=[output.name for output in outputs],
        mean=spec.mean,
        std=spec.std,
        input_name=spec.name,
        half=True,
    )
    card = Card(
        name=name,
        version=version,
        task=task,
        modality=modality,
        default_rank=default_rank,
        sha256=exported.sha256,
        manufacturer="orthanc-chest-ai",
        input=spec,
        outputs=outputs,
        figures=measured.figures,
        shortcut_checks=measured.shortcut_checks,
        volume_errors=measured.volume_errors,
        self_test=exported.self_test,
        **words,
    )
    return write_card(card, folder)


def classifier_outputs(
    classes: tuple[OutputClass, ...],
    temperature: float = 1.0,
    *,
    shown: tuple[OutputClass, ...],
    localises: bool = False,
) -> tuple[ModelOutput, ModelOutput]:
    """The logits of ``classes``, and the attention of those ``shown``.

    ``localises``: whether the attention was taught where disease is, and measured.
    """
    return (
        ModelOutput(
            name="logits",
            meaning="logits",
            classes=classes,
            activation="softmax",
            temperature=temperature,
        ),
        ModelOutput(
            name="attention", meaning="attention", classes=shown, activation="none", localises=localises
        ),
    )
