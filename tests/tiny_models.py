"""Networks of four nodes that threshold Hounsfield units, as folders dropped in: what they mark is known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from plugin.models.lineup import Lineup
from plugin.models.loading import load_model
from plugin.models.selftest import self_test_picture
from plugin.models.session import CPU

LOW, HIGH = -1024.0, 1400.0
SLOPE = 1000.0
LUNG = {"name": "lung", "meaning": "Lung", "role": "lung"}
FINDINGS = {"name": "findings", "meaning": "Opacity", "role": "finding"}


def write_segmenter(
    folder: Path,
    name: str,
    *,
    shape: Sequence[int],
    bands: Sequence[tuple[dict[str, str], float, float]],
    volume: dict[str, Any] | None = None,
    version: str = "1.0.0",
) -> Path:
    """A segmenter: each class is where HU lie between two values. Returns its folder."""
    own = folder / name
    own.mkdir(parents=True)
    _graph(own / "model.onnx", shape, [(low, high) for _, low, high in bands])
    picture = self_test_picture(0, "squares", shape, [0.0] * shape[1], [1.0] * shape[1])
    session = onnxruntime.InferenceSession(own / "model.onnx", providers=[CPU])
    values = session.run(None, {"image": picture})[0].ravel()[:4]
    card = {
        "name": name,
        "version": version,
        "title": "Thresholds",
        "task": "segment",
        "modality": "ct",
        "sha256": hashlib.sha256((own / "model.onnx").read_bytes()).hexdigest(),
        "architecture": "Hounsfield units between two values",
        "manufacturer": "a test",
        "input": {
            "name": "image",
            "shape": list(shape),
            "intensity": {"rule": "hu_window", "low": LOW, "high": HIGH},
            "mean": [0.0] * shape[1],
            "std": [1.0] * shape[1],
            "volume": volume,
        },
        "outputs": [
            {
                "name": "logits",
                "meaning": "logits",
                "classes": [meaning for meaning, _, _ in bands],
                "activation": "sigmoid",
            }
        ],
        "training_data": "none",
        "training_licence": "none",
        "figures": [],
        "intended_use": "tests",
        "limits": "none",
        "licence": "none",
        "self_test": {"seed": 0, "pattern": "squares", "expected": values.tolist(), "tolerance": 0.01},
    }
    (own / "card.json").write_text(json.dumps(card))
    return own


def _graph(path: Path, shape: Sequence[int], bands: Sequence[tuple[float, float]]) -> None:
    """Logits min(x - low, high - x) of the first channel, a class each."""
    rank = len(shape)
    scaled = np.array([[(v - LOW) / (HIGH - LOW) for v in band] for band in bands], np.float32)
    per_class = (1, len(bands), *(1 for _ in shape[2:]))
    constants = {
        "low": scaled[:, 0].reshape(per_class),
        "high": scaled[:, 1].reshape(per_class),
        "slope": np.array(SLOPE, np.float32),
        "begin": np.array([0], np.int64),
        "end": np.array([1], np.int64),
        "axis": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("Slice", ["image", "begin", "end", "axis"], ["first"]),
        helper.make_node("Sub", ["first", "low"], ["above"]),
        helper.make_node("Sub", ["high", "first"], ["below"]),
        helper.make_node("Min", ["above", "below"], ["inside"]),
        helper.make_node("Mul", ["inside", "slope"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "thresholds",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [shape[0], len(bands), *shape[2:]])],
        [onnx.numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    assert rank in (4, 5)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def lineup(segmentation: Path, *beside: Path, lungs: Path | None = None) -> Lineup:
    """The models of these folders as segmenters, the first leading."""
    leading, *others = (
        load_model(folder, thresholds={}, providers=[CPU], threads=1) for folder in (segmentation, *beside)
    )
    finder = None if lungs is None else load_model(lungs, thresholds={}, providers=[CPU], threads=1)
    return Lineup(ct_segmentation=leading, ct_beside=tuple(others), ct_lungs=finder)
