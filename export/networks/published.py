"""The classifiers of Carmo et al. 2021, "Rapidly deploying a COVID-19 decision support system".

EfficientNet-B5 for X-ray (three classes, 456 x 456) and EfficientNet-B4 for the mean projections
of a CT (512 x 512; one logit each for the axial and the sagittal network, two classes for the
rejector). Built from MONAI; they begin as ImageNet's EfficientNet-Lite2, grown to their size. Sizes that
the paper omits are assumed.
"""

from __future__ import annotations

import torch
from monai.networks.nets import EfficientNetBN
from torch import nn

from export.networks.attention import AttentionClassifier
from export.networks.grown import grown

#: What the cards of the published networks say first of their limits.
UNFINISHED = (
    "Trained for minutes on two cores, far from what this architecture can learn: to compare with and to "
    "train on. The compact network has the better figures and is read by default. "
)


class EfficientNetTrunk(nn.Module):
    """MONAI's EfficientNet up to and with the head's 1 x 1 convolution, stride 32.

    ``name`` is MONAI's, such as ``efficientnet-b4``. ``pretrained``: grown from ImageNet's Lite2, else
    weights are random.
    """

    def __init__(self, name: str, *, pretrained: bool) -> None:
        super().__init__()
        network = grown(name) if pretrained else EfficientNetBN(name, pretrained=False)
        network.set_swish(memory_efficient=False)
        self.layers = nn.Sequential(
            network._conv_stem_padding,
            network._conv_stem,
            network._bn0,
            network._swish,
            network._blocks,
            network._conv_head_padding,
            network._conv_head,
            network._bn1,
            network._swish,
        )
        self.channels = int(network._fc.in_features)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) to (N, channels, H/32, W/32)."""
        return self.layers(image)


def efficientnet_classifier(name: str, classes: int, *, pretrained: bool) -> AttentionClassifier:
    """An EfficientNet, pretrained or random, with an untrained attention classifier."""
    trunk = EfficientNetTrunk(name, pretrained=pretrained)
    return AttentionClassifier(trunk, trunk.channels, classes, dropout=0.4)


def ct_b4() -> AttentionClassifier:
    """Two classes from mean projections; published for 512 x 512, with a single logit for AX and SG."""
    return efficientnet_classifier("efficientnet-b4", 2, pretrained=True)
