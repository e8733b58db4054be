"""Networks of a few nodes as folders dropped in: segmenters that threshold Hounsfield units, and a classifier
of what they mark. What they say is known."""

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
    card = _card(own, shape, volume, version) | {
        "title": "Thresholds",
        "task": "segment",
        "architecture": "Hounsfield units between two values",
        "outputs": [
            {
                "name": "logits",
                "meaning": "logits",
                "classes": [meaning for meaning, _, _ in bands],
                "activation": "sigmoid",
            }
        ],
        "self_test": {"seed": 0, "pattern": "squares", "expected": values.tolist(), "tolerance": 0.01},
    }
    (own / "card.json").write_text(json.dumps(card))
    return own


def _card(
    own: Path, shape: Sequence[int], volume: dict[str, Any] | None, version: str = "1.0.0"
) -> dict[str, Any]:
    """What the cards of these networks share, the folder's name and the file's digest among it."""
    return {
        "name": own.name,
        "version": version,
        "modality": "ct",
        "sha256": hashlib.sha256((own / "model.onnx").read_bytes()).hexdigest(),
        "manufacturer": "a test",
        "input": {
            "name": "image",
            "shape": list(shape),
            "intensity": {"rule": "hu_window", "low": LOW, "high": HIGH},
            "mean": [0.0] * shape[1],
            "std": [1.0] * shape[1],
            "volume": volume,
        },
        "training_data": "none",
        "training_licence": "none",
        "figures": [],
        "intended_use": "tests",
        "limits": "none",
        "licence": "none",
    }


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


POOL = 4
"""Points along each side of a place of the classifier's attention."""


def write_volume_classifier(
    folder: Path, name: str, *, patch: Sequence[int], volume: dict[str, Any], gain: float, bias: float
) -> Path:
    """A classifier of the segmented volume. Its folder.

    Its log odds are 2 x (``gain`` x the mean of image times mask over the patch - ``bias``); its attention
    tells where that comes from.
    """
    shape = (1, 2, *patch)
    own = folder / name
    own.mkdir(parents=True)
    _classifier_graph(own / "model.onnx", shape, gain, bias)
    picture = self_test_picture(0, "squares", shape, [0.0, 0.0], [1.0, 1.0])
    session = onnxruntime.InferenceSession(own / "model.onnx", providers=[CPU])
    values = session.run(["logits"], {"image": picture})[0].ravel()
    meaning = "Opacity consistent with COVID-19 pneumonia"
    classes = [
        {"name": "NO-FINDINGS", "meaning": "none", "role": "other"},
        {"name": "FINDINGS", "meaning": meaning, "role": "finding", "threshold": 0.5},
    ]
    outputs = [
        {"name": "logits", "meaning": "logits", "classes": classes, "activation": "softmax"},
        {"name": "attention", "meaning": "attention", "classes": classes[1:], "activation": "none"},
    ]
    card = _card(own, shape, volume) | {
        "title": "How much is marked",
        "task": "classify",
        "architecture": "image times mask, pooled",
        "outputs": outputs,
        "self_test": {"seed": 0, "pattern": "squares", "expected": values.tolist(), "tolerance": 0.01},
    }
    (own / "card.json").write_text(json.dumps(card))
    return own


def _classifier_graph(path: Path, shape: Sequence[int], gain: float, bias: float) -> None:
    places = [side // POOL for side in shape[2:]]
    constants = {
        "two": np.array([1, 1], np.int64),
        "gain": np.array(gain, np.float32),
        "bias": np.array(bias, np.float32),
        "minus": np.array(-1.0, np.float32),
        "axes": np.array([2, 3, 4], np.int64),
    }
    nodes = [
        helper.make_node("Split", ["image", "two"], ["seen", "mask"], axis=1),
        helper.make_node("Mul", ["seen", "mask"], ["lesion"]),
        helper.make_node("AveragePool", ["lesion"], ["pooled"], kernel_shape=[POOL] * 3, strides=[POOL] * 3),
        helper.make_node("Mul", ["pooled", "gain"], ["attention"]),
        helper.make_node("ReduceMean", ["attention", "axes"], ["mean"], keepdims=0),
        helper.make_node("Sub", ["mean", "bias"], ["finding"]),
        helper.make_node("Mul", ["finding", "minus"], ["other"]),
        helper.make_node("Concat", ["other", "finding"], ["logits"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "lesions",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, list(shape))],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, [shape[0], 2]),
            helper.make_tensor_value_info("attention", TensorProto.FLOAT, [shape[0], 1, *places]),
        ],
        [onnx.numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, path)
