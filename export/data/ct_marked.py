"""Lungs and opacities of the training volumes as the shipped segmenter marks them; cached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from export.data import ct
from export.paths import ONNX_MODELS, runs_folder
from plugin.analysis.segmentation import segment
from plugin.models.loading import load_model
from plugin.models.network import Model
from plugin.models.session import CPU

Mask = npt.NDArray[np.bool_]
SEGMENTER = "ct-segment-compact"
THREADS = 1


@dataclass(frozen=True)
class Marked:
    """Masks of a volume's shape: ``lungs`` (opacities included) and the ``opacities`` in them."""

    lungs: Mask
    opacities: Mask


def marked(volume: ct.Volume) -> Marked:
    """What the shipped segmenter marks in a volume, by the plugin's own code.

    It was trained on these patients: its lungs hardly depend on that, its opacities do.
    """
    model = _segmenter()
    stored = runs_folder("ct-cache") / f"{volume.name}-{model.card.sha256[:12]}-marked.npz"
    return kept(stored, volume, lambda: _read(model, volume))


def kept(stored: Path, volume: ct.Volume, read: Callable[[], tuple[Mask, Mask]]) -> Marked:
    """The masks of a volume that are stored in a file; read and stored where they are not."""
    if not stored.exists():
        lungs, opacities = read()
        np.savez_compressed(stored, lungs=np.packbits(lungs), opacities=np.packbits(opacities))
    with np.load(stored) as packed:
        return Marked(_unpacked(packed["lungs"], volume), _unpacked(packed["opacities"], volume))


@cache
def _segmenter() -> Model:
    folder = ONNX_MODELS / SEGMENTER
    return load_model(folder, thresholds={}, providers=[CPU], threads=THREADS)


def _read(model: Model, volume: ct.Volume) -> tuple[Mask, Mask]:
    places = {role: model.class_index(role) for role in ("lung", "finding")}
    lung, finding = places["lung"], places["finding"]
    assert lung is not None
    assert finding is not None
    return segment(
        volume.hu,
        prepare=model.prepare,
        predict=lambda inputs: model.predict(inputs).probabilities,
        batch=model.batch,
        lung=(lung, model.classes[lung].threshold),
        findings=(finding, model.classes[finding].threshold),
        spacing=volume.spacing,
    )


def _unpacked(bits: npt.NDArray[np.uint8], volume: ct.Volume) -> Mask:
    return np.unpackbits(bits, count=volume.hu.size).reshape(volume.hu.shape).astype(np.bool_)
