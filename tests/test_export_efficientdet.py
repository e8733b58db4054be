"""The segmentation network against the published table, and its graph against PyTorch."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is only needed for training and export")
pytest.importorskip("monai", reason="MONAI is only needed for training and export")

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from export.networks import efficientdet  # noqa: E402
from export.onnx_writer import write_graph  # noqa: E402


def parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_published_size() -> None:
    assert parameters(efficientdet.published()) == pytest.approx(0.86e6, rel=0.01)


def test_published_cost_of_a_slice() -> None:
    network = efficientdet.published().eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, 3, 512, 512))
    assert counter.get_total_flops() / 2e9 == pytest.approx(26.6, abs=0.05)


def test_published_shares_of_the_cost() -> None:
    network = efficientdet.published().eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, 3, 512, 512))
    counts = counter.get_flop_counts()
    gmac = {
        part: sum(counts[f"ModifiedEfficientDet.{part}"].values()) / 2e9
        for part in ("trunk", "expand", "head")
    }
    assert gmac["trunk"] == pytest.approx(2.0, abs=0.1)
    assert gmac["expand"] == pytest.approx(4.3, abs=0.1)
    assert gmac["head"] == pytest.approx(14.2, abs=0.1)


@pytest.mark.parametrize("size", [64, 96])
def test_logits_have_the_size_of_the_input(size: int) -> None:
    networks = [efficientdet.published(), efficientdet.compact(size, 16, pretrained=False)]
    for network in networks:
        with torch.inference_mode():
            assert network.eval()(torch.zeros(2, 3, size, size)).shape == (2, 2, size, size)


def test_every_weight_that_the_finest_map_needs_learns() -> None:
    """The last cell's bottom-up path leads nowhere, as in the published network, whose head reads /2."""
    network = efficientdet.compact(64, 16, pretrained=False)
    network(torch.randn(2, 3, 64, 64)).square().mean().backward()
    still = [name for name, p in network.named_parameters() if p.grad is None]
    assert still
    assert all(name.startswith("cells.1.up.") for name in still)


@pytest.mark.parametrize("name", ["published", "compact"])
def test_graph_agrees_with_pytorch(name: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    if name == "published":
        network = efficientdet.published()
    else:
        network = efficientdet.compact(64, 16, pretrained=False)
    exported = write_graph(
        network, tmp_path, shape=(2, 3, 64, 64), outputs=["logits"], mean=(0.5,) * 3, std=(0.5,) * 3
    )
    assert len(exported.sha256) == 64
    assert (tmp_path / "model.onnx").stat().st_size > 100_000
