"""The published classifiers: sizes, exact attention, agreement of PyTorch and ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the export side needs PyTorch")
pytest.importorskip("monai", reason="the export side needs MONAI")

import torch

from export import onnx_writer
from export.networks import published
from export.networks.attention import AttentionClassifier


def _with_activity(network: AttentionClassifier) -> AttentionClassifier:
    """Random weights that keep the activations' size: with MONAI's own they vanish on the way, and
    networks that answer nothing would agree on anything."""
    torch.manual_seed(3)
    for module in network.trunk.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    return network


def _answering(network: AttentionClassifier) -> AttentionClassifier:
    """The same with a seeded classifier that is scaled to the features."""
    torch.manual_seed(3)
    with torch.inference_mode():
        spread = float(network.eval().trunk(torch.rand(1, 3, 128, 128)).std())
    torch.nn.init.normal_(network.evidence.weight, std=0.1 / spread)
    torch.nn.init.normal_(network.bias)
    return network


def test_torch_and_onnx_runtime_agree(tmp_path: Path) -> None:
    network = _answering(published.ct_b4())
    classes = 2
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert parameters / 1e6 == pytest.approx(17.5, abs=0.1)

    shape = (1, 3, 512, 512)
    exported = onnx_writer.write_graph(
        network,
        tmp_path,
        shape=shape,
        outputs=("logits", "attention"),
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
        half=False,  # what rounding costs is measured by ./run export precision
    )
    path = tmp_path / "model.onnx"
    assert path.stat().st_size < onnx_writer.LARGEST_FILE
    assert len(exported.self_test.expected) == classes
    picture = onnx_writer.self_test_input(2, shape, (0.5,) * 3, (0.5,) * 3)
    logits, attention = onnx_writer.check_agreement(network, path, picture, 0.001)
    assert logits.shape == (1, classes)
    assert attention.shape[:2] == (1, classes)
    assert np.abs(logits).max() > 0.1


def test_logits_are_the_mean_of_the_attention_plus_bias() -> None:
    network = _answering(
        _with_activity(published.efficientnet_classifier("efficientnet-b0", 3, pretrained=False))
    )
    with torch.inference_mode():
        logits, attention = network(torch.rand(2, 3, 64, 96))
    assert attention.shape == (2, 3, 2, 3)
    torch.testing.assert_close(logits, attention.mean(dim=(2, 3)) + network.bias)
