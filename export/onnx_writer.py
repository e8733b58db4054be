"""PyTorch networks to ``onnx_models/<name>``: graph, agreement check, self-test, card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from plugin.models.cards import Card
from plugin.models.selftest import Pattern, SelfTest, self_test_picture

#: Supported by every ONNX Runtime since 1.17.
OPSET = 20
#: GitHub refuses files of 100 MB.
LARGEST_FILE = 95_000_000
#: How far float16 weights may move an output, as a share of its largest magnitude. It finds what is broken;
#: what they cost is told by ``./run export precision``.
_ROUNDED = 0.1
_SELF_TEST_VALUES = 8
_SELF_TEST_PATTERN: Pattern = "squares"


@dataclass(frozen=True)
class Exported:
    """What a card must say of a written graph: its file's SHA-256 and the self-test."""

    sha256: str
    self_test: SelfTest


def _session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def self_test_input(
    seed: int, shape: Sequence[int], mean: Sequence[float], std: Sequence[float]
) -> npt.NDArray[np.float32]:
    """The seeded input of ``plugin.models.cards.SelfTest`` of ``shape`` (N, C, H, W)."""
    return self_test_picture(seed, _SELF_TEST_PATTERN, shape, mean, std)


def drop_traces(path: Path) -> None:
    """Drop what the exporter notes of where in the source each node comes from, with this host's paths."""
    model = onnx.load(path)
    graph = model.graph
    for part in (
        model,
        graph,
        *graph.node,
        *graph.value_info,
        *graph.input,
        *graph.output,
        *graph.initializer,
    ):
        del part.metadata_props[:]
        part.doc_string = ""
    onnx.checker.check_model(model)
    onnx.save(model, path)


def store_as_float16(path: Path, at_least: int = 1024) -> None:
    """Store float32 weights of ``at_least`` values as float16, cast back when the graph is loaded.

    Halves the file; the arithmetic stays float32. ONNX Runtime folds the casts once at load.
    """
    model = onnx.load(path)
    graph = model.graph
    casts = []
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        if weight.data_type != TensorProto.FLOAT or values.size < at_least:
            continue
        name, stored = weight.name, f"{weight.name}.float16"
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), stored))
        casts.append(helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    onnx.checker.check_model(model)
    onnx.save(model, path)


def check_agreement(
    network: nn.Module, path: Path, picture: npt.NDArray[np.float32], tolerance: float
) -> list[npt.NDArray[np.float32]]:
    """ONNX Runtime's outputs for ``picture``, after comparing each with PyTorch's.

    The difference may be ``tolerance`` times the output's largest magnitude (at least 1).
    Raises RuntimeError where they disagree.
    """
    with torch.inference_mode():
        outputs = network(torch.from_numpy(picture))
    expected = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
    session = _session(path)
    got = session.run(None, {session.get_inputs()[0].name: picture})
    for output, torch_values, values in zip(session.get_outputs(), expected, got, strict=True):
        reference = torch_values.numpy()
        difference = float(np.abs(values - reference).max())
        allowed = tolerance * max(1.0, float(np.abs(reference).max()))
        # Written so that a difference that is no number is a disagreement too.
        if not difference <= allowed:
            raise RuntimeError(f"{path}: output {output.name} differs by {difference:.2g}")
    return list(got)


def write_graph(
    network: nn.Module,
    folder: Path,
    *,
    shape: Sequence[int],
    outputs: Sequence[str],
    mean: Sequence[float],
    std: Sequence[float],
    input_name: str = "image",
    half: bool = False,
    seed: int = 1,
    largest: int = LARGEST_FILE,
) -> Exported:
    """Write ``folder/model.onnx`` with fixed shapes, checked against PyTorch.

    ``outputs`` name what ``network`` returns. With ``half`` weights are stored as float16.
    Raises RuntimeError where PyTorch and ONNX Runtime disagree or the file has more than ``largest`` bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    network = network.cpu().eval()
    program = torch.onnx.export(
        network,
        (torch.zeros(tuple(shape)),),
        dynamo=True,
        opset_version=OPSET,
        input_names=[input_name],
        output_names=list(outputs),
        verbose=False,
    )
    assert program is not None
    program.save(path, external_data=False)
    drop_traces(path)
    picture = self_test_input(seed, shape, mean, std)
    check_agreement(network, path, picture, 1e-3)
    if half:
        store_as_float16(path)
        check_agreement(network, path, picture, _ROUNDED)
    if path.stat().st_size > largest:
        raise RuntimeError(f"{path} has {path.stat().st_size} bytes, more than {largest}")
    return described(path, picture, seed)


def described(path: Path, picture: npt.NDArray[np.float32], seed: int) -> Exported:
    """What a card must say of the graph ``path``; ``picture`` is the ``self_test_input`` of ``seed``."""
    session = _session(path)
    values = session.run(None, {session.get_inputs()[0].name: picture})[0]
    first = values.ravel()[:_SELF_TEST_VALUES].astype(np.float64)
    test = SelfTest(
        seed=seed,
        pattern=_SELF_TEST_PATTERN,
        expected=tuple(round(float(v), 5) for v in first),
        # TensorFloat-32 on NVIDIA cards keeps about three digits.
        tolerance=round(0.02 * max(1.0, float(np.abs(values).max())), 3),
    )
    return Exported(hashlib.sha256(path.read_bytes()).hexdigest(), test)


def write_card(card: Card, folder: Path) -> Path:
    """Write ``folder/card.json``, indented and ending in a newline, and return its path."""
    path = folder / "card.json"
    text = json.dumps(card.model_dump(mode="json"), indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    return path
