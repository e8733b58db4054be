"""A network that was grown from Lite2 says what Lite2 says, until it is trained."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="the export side needs PyTorch")
pytest.importorskip("monai", reason="the export side needs MONAI")
pytest.importorskip("efficientnet_lite_pytorch", reason="the export side needs EfficientNet-Lite")

import torch
from torch import nn

from export.networks import grown
from export.networks.lite import LiteTrunk
from export.networks.published import EfficientNetTrunk

SIZE = 380
"""The size that MONAI's B4 fixes its padding for: only there do both pad alike."""


class _SteepReLU6(nn.Module):
    """What swish stands for."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.clamp(0, 6 * grown.STEEPNESS)


def _picture() -> torch.Tensor:
    torch.manual_seed(1)
    return nn.functional.interpolate(torch.randn(1, 3, 24, 24), (SIZE, SIZE), mode="bicubic").tanh()


def _with_relu6(module: nn.Module) -> None:
    for name, child in module._modules.items():
        if type(child).__name__ == "Swish":
            setattr(module, name, _SteepReLU6())
        elif child is not None:
            _with_relu6(child)


def test_a_grown_network_is_lite2_but_for_its_activation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grown, "NOISE", 0.0)
    trunk = EfficientNetTrunk("efficientnet-b4", pretrained=True).eval()
    _with_relu6(trunk)
    picture = _picture()
    with torch.inference_mode():
        expected = LiteTrunk(2, (SIZE, SIZE)).eval()(picture)
        found = trunk(picture) / grown.STEEPNESS
    copies = torch.arange(trunk.channels) % expected.shape[1]
    torch.testing.assert_close(found, expected[:, copies], rtol=1e-3, atol=1e-3)


def test_copies_do_not_stay_copies() -> None:
    torch.manual_seed(0)
    stem = grown.grown("efficientnet-b4")._conv_stem.weight
    assert not torch.equal(stem[0], stem[32])
    assert torch.corrcoef(torch.stack([stem[0].flatten(), stem[32].flatten()]))[0, 1] > 0.99
