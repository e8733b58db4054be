"""Graphs of 8-bit integers: made of a real network, and loaded and run as the plugin does it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

pytest.importorskip("torch", reason="the export side needs PyTorch")
pytest.importorskip("onnx", reason="the export side needs onnx")

import onnx
import torch

from export.networks.attention import AttentionClassifier
from export.onnx_writer import described, self_test_input, write_card, write_graph
from export.studies.quantise import FIRST_IN_FLOAT, kept_in_float, quantise
from plugin.domain.errors import ModelError
from plugin.models.cards import Card, ModelOutput, OutputClass, read_card
from plugin.models.loading import load_model
from plugin.models.session import CPU
from tests.conftest import ROOT

MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
SHAPE = (2, 3, 32, 32)
CHANNELS = 16


def small_network() -> AttentionClassifier:
    """Nine convolutions, six of them with ReLU6 in the part that is quantised."""
    torch.manual_seed(3)
    layers: list[torch.nn.Module] = [torch.nn.Conv2d(3, CHANNELS, 3, stride=2, padding=1), torch.nn.ReLU6()]
    for _ in range(FIRST_IN_FLOAT + 1):
        layers += [torch.nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), torch.nn.ReLU6()]
    classifier = AttentionClassifier(torch.nn.Sequential(*layers), CHANNELS, 2)
    for module in classifier.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    return classifier.eval()


def pictures(count: int, seed: int) -> np.ndarray:
    """Prepared random pictures (count, 3, H, W)."""
    return np.concatenate([self_test_input(seed + i, (1, *SHAPE[1:]), MEAN, STD) for i in range(count)])


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The float32 graph."""
    folder = tmp_path_factory.mktemp("float32")
    write_graph(small_network(), folder, shape=SHAPE, outputs=("logits", "attention"), mean=MEAN, std=STD)
    return folder / "model.onnx"


def small_card() -> Card:
    """A card of the small network, otherwise as a shipped classifier's; without digest and self-test."""
    cards = (read_card(path.parent) for path in sorted((ROOT / "onnx_models").glob("*/card.json")))
    base = next(card for card in cards if card.task == "classify" and card.modality == "xray")
    classes = (
        OutputClass(name="NONE", meaning="none"),
        OutputClass(name="SOME", meaning="some", role="finding"),
    )
    logits = ModelOutput(name="logits", meaning="logits", classes=classes, activation="softmax")
    attention = ModelOutput(name="attention", meaning="attention", classes=classes, activation="none")
    spec = base.input.model_copy(update={"shape": SHAPE, "mean": MEAN, "std": STD})
    return base.model_copy(update={"name": "small", "input": spec, "outputs": (logits, attention)})


def _folder(source: Path, folder: Path) -> Path:
    """A model to drop in: the graph with its card."""
    folder.mkdir()
    shutil.copy(source, folder / "model.onnx")
    exported = described(folder / "model.onnx", self_test_input(1, SHAPE, MEAN, STD), 1)
    changes = {"sha256": exported.sha256, "self_test": exported.self_test}
    write_card(small_card().model_copy(update=changes), folder)
    return folder


@pytest.mark.parametrize("seven_bits", [False, True])
def test_the_plugin_loads_and_runs_integers(graph: Path, tmp_path: Path, seven_bits: bool) -> None:
    path = tmp_path / "int8.onnx"
    quantise(graph, path, pictures(32, 100), seven_bits=seven_bits)
    whole = load_model(_folder(graph, tmp_path / "a"), thresholds={}, providers=[CPU], threads=1)
    small = load_model(_folder(path, tmp_path / "b"), thresholds={}, providers=[CPU], threads=1)
    inputs = pictures(2, 900)
    expected, got = whole.predict(inputs), small.predict(inputs)
    assert got.attention is not None
    assert expected.attention is not None
    assert np.abs(got.probabilities - expected.probabilities).max() < 0.05
    assert np.abs(got.attention - expected.attention).max() < 0.1 * np.abs(expected.attention).max()
    assert not np.array_equal(got.attention, expected.attention)
    # The last convolution is not quantised: its mean and the bias are the logit still.
    logits, attention = small.session.run(["logits", "attention"], {"image": inputs})
    assert np.ptp(logits - attention.mean(axis=(2, 3)), axis=0).max() < 1e-4


def test_weights_are_integers_per_channel_and_run_as_such(graph: Path, tmp_path: Path) -> None:
    path, optimised = tmp_path / "int8.onnx", tmp_path / "optimised.onnx"
    quantise(graph, path, pictures(8, 100), seven_bits=False)
    assert path.stat().st_size < graph.stat().st_size
    weights = [w for w in onnx.load(path).graph.initializer if w.data_type == onnx.TensorProto.INT8]
    kernels = [w for w in weights if len(w.dims) == 4]
    assert len(kernels) == 2
    scales = {w.name: list(w.dims) for w in onnx.load(path).graph.initializer if w.name.endswith("_scale")}
    assert [scales[kernel.name.replace("_quantized", "_scale")] for kernel in kernels] == [[CHANNELS]] * 2
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(optimised)
    onnxruntime.InferenceSession(path, options, providers=[CPU])
    operators = [node.op_type for node in onnx.load(optimised).graph.node]
    assert operators.count("QLinearConv") == 2


def test_seven_bits_keep_to_their_range(graph: Path, tmp_path: Path) -> None:
    largest = {}
    for seven_bits in (False, True):
        path = tmp_path / f"{seven_bits}.onnx"
        quantise(graph, path, pictures(4, 100), seven_bits=seven_bits)
        kernels = [w for w in onnx.load(path).graph.initializer if w.data_type == onnx.TensorProto.INT8]
        largest[seven_bits] = max(int(np.abs(onnx.numpy_helper.to_array(w)).max()) for w in kernels)
    assert largest[True] <= 64 < largest[False]


def test_a_graph_that_answers_otherwise_than_its_self_test_is_refused(graph: Path, tmp_path: Path) -> None:
    path = tmp_path / "int8.onnx"
    quantise(graph, path, pictures(8, 100), seven_bits=False)
    folder = _folder(path, tmp_path / "model")
    card = json.loads((folder / "card.json").read_text())
    card["self_test"]["expected"][0] += 2 * card["self_test"]["tolerance"]
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="self-test failed"):
        load_model(folder, thresholds={}, providers=[CPU], threads=1)


def test_too_few_convolutions_or_pictures_are_an_error(graph: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="less than a batch"):
        quantise(graph, tmp_path / "a.onnx", pictures(1, 0))
    small = onnx.load(graph).graph
    del small.node[4:]
    with pytest.raises(ValueError, match="too few"):
        kept_in_float(small)
