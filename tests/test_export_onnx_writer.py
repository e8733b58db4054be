"""Export: self-test as the plugin repeats it, float16 storage, disagreement is an error."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

pytest.importorskip("torch", reason="the export side needs PyTorch")
pytest.importorskip("onnx", reason="the export side needs onnx")

import onnx
import torch

from export import onnx_writer
from export.networks.attention import AttentionClassifier
from plugin.models.selftest import self_test_picture

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
SHAPE = (1, 3, 16, 16)


@pytest.fixture
def network() -> AttentionClassifier:
    torch.manual_seed(0)
    trunk = torch.nn.Sequential(torch.nn.Conv2d(3, 64, 3, stride=2), torch.nn.ReLU6())
    classifier = AttentionClassifier(trunk, 64, 2)
    torch.nn.init.normal_(classifier.evidence.weight)
    return classifier.eval()


def _write(network: torch.nn.Module, folder: Path, *, half: bool = False) -> onnx_writer.Exported:
    return onnx_writer.write_graph(
        network, folder, shape=SHAPE, outputs=("logits", "attention"), mean=MEAN, std=STD, half=half
    )


def test_self_test_and_digest_are_those_of_the_file(network: AttentionClassifier, tmp_path: Path) -> None:
    exported = _write(network, tmp_path)
    path = tmp_path / "model.onnx"
    assert exported.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    test = exported.self_test
    picture = self_test_picture(test.seed, test.pattern, SHAPE, MEAN, STD)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    first = session.run(["logits"], {"image": picture})[0].ravel()
    np.testing.assert_allclose(first, test.expected, atol=1e-4)


def test_float16_storage_halves_the_file_and_keeps_the_answer(
    network: AttentionClassifier, tmp_path: Path
) -> None:
    whole, half = _write(network, tmp_path / "a"), _write(network, tmp_path / "b", half=True)
    sizes = [(tmp_path / name / "model.onnx").stat().st_size for name in "ab"]
    assert sizes[1] < sizes[0]
    np.testing.assert_allclose(whole.self_test.expected, half.self_test.expected, atol=0.01)
    types = {w.data_type for w in onnx.load(tmp_path / "b" / "model.onnx").graph.initializer}
    assert onnx.TensorProto.FLOAT16 in types


def test_outputs_that_are_no_numbers_are_an_error(network: AttentionClassifier, tmp_path: Path) -> None:
    with torch.no_grad():
        network.bias[0] = float("nan")
    with pytest.raises(RuntimeError, match="output logits differs"):
        _write(network, tmp_path)


def test_disagreement_is_an_error(network: AttentionClassifier, tmp_path: Path) -> None:
    _write(network, tmp_path)
    with torch.no_grad():
        network.bias += 1.0
    picture = onnx_writer.self_test_input(1, SHAPE, MEAN, STD)
    with pytest.raises(RuntimeError, match="output logits differs"):
        onnx_writer.check_agreement(network, tmp_path / "model.onnx", picture, 1e-3)
