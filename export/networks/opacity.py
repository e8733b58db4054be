"""Opacities of a pneumonia on a chest X-ray: how likely, where, and whether the picture is one to read."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from export.networks.lite import FEATURES, LiteTrunk, Variant
from export.networks.published import EfficientNetTrunk

#: How many blocks of Lite0 and Lite2 lie before /32; the channels of the last of them and of the last of all.
_LITE: dict[Variant, tuple[int, tuple[int, int]]] = {0: (11, (112, 320)), 2: (15, (120, 352))}
#: The same of B5, in stages.
_B5_FRONT, _B5_CHANNELS = 5, (176, 512)
_WIDTH = 128


class OpacityNetwork(nn.Module):
    """An EfficientNet with a map of opacities, a probability of any, and a rejection.

    The map is what a reader's boxes teach: for each place at /16 the logit of lying in a box. The film's
    logit adds a linear reading of the whole picture to the log of the mean of exp over the map. The rejection
    is a linear reading of pooled features and has no say in the class.

    ``scale`` and ``offset`` calibrate the film's logit, ``floor`` is the map's logit from which a place is
    shown; they are set after training.

    Parameters
    ----------
    front, back, head
        The network's parts: up to /16, to /32, and to the features that are pooled.
    channels
        What each of them gives.
    """

    scale: Tensor
    offset: Tensor
    floor: Tensor

    def __init__(
        self, front: nn.Module, back: nn.Module, head: nn.Module, channels: tuple[int, int, int]
    ) -> None:
        super().__init__()
        self.front, self.back, self.head = front, back, head
        middle, last, features = channels
        self.middle, self.last = _linear(middle), _linear(last)
        self.refine = nn.Sequential(
            nn.ReLU6(),
            nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1, groups=_WIDTH, bias=False),
            *_linear(_WIDTH),
            nn.ReLU6(),
        )
        self.place = nn.Conv2d(_WIDTH, 1, 1)
        self.whole = nn.Linear(features, 1)
        self.share = nn.Parameter(torch.tensor(0.5))
        self.dropout = nn.Dropout(0.2)
        self.reject = nn.Linear(middle + features, 1)
        nn.init.constant_(self.place.bias, -2.0)
        for layer in (self.whole, self.reject):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.register_buffer("scale", torch.tensor(1.0))
        self.register_buffer("offset", torch.tensor(0.0))
        self.register_buffer("floor", torch.tensor(0.0))

    def read(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What ``front`` gave, (N, channels, h, w), to the film's logit, the map's and the pooled features.

        (N,), not calibrated; (N, h, w); (N, channels), those of front and head.
        """
        last = self.back(features)
        pooled = self.head(last).mean(dim=(2, 3))
        fine = functional.interpolate(self.last(last), scale_factor=2.0, mode="bilinear")
        places = self.place(self.refine(self.middle(features) + fine))[:, 0]
        count = places.shape[1] * places.shape[2]
        anywhere = torch.logsumexp(places.flatten(1), dim=1) - math.log(count)
        film = self.whole(self.dropout(pooled))[:, 0] + self.share * anywhere
        return film, places, torch.cat([features.mean(dim=(2, 3)), pooled], dim=1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) to logits (N, 3) and attention (N, 1, H/16, W/16).

        Softmax of the logits gives p(1 - r), (1 - p)(1 - r) and r: p the probability of opacities, r that of
        a picture that is not to be read. Attention is the map's logit above ``floor``.
        """
        film, places, pooled = self.read(self.front(image))
        opacity = film * self.scale + self.offset
        reject = self.reject(pooled)[:, 0]
        pair = (functional.logsigmoid(opacity), functional.logsigmoid(-opacity))
        return torch.stack([*pair, reject], dim=1), (places - self.floor)[:, None]


def lite(variant: Variant, size: tuple[int, int]) -> OpacityNetwork:
    """Begun as ImageNet's EfficientNet-Lite 0 or 2, for pictures of ``size``, multiples of 32."""
    trunk = LiteTrunk(variant, size).eval()
    blocks = list(trunk.blocks)
    first, channels = _LITE[variant]
    return OpacityNetwork(
        nn.Sequential(trunk.stem, *blocks[:first]),
        nn.Sequential(*[_folded(block) for block in blocks[first:]]),
        nn.Sequential(fuse_conv_bn_eval(trunk.head[0], trunk.head[1]), nn.ReLU6()),
        (*channels, FEATURES),
    )


def b5(_size: tuple[int, int]) -> OpacityNetwork:
    """Begun as EfficientNet-B5 grown from ImageNet's Lite2; its shapes follow the picture's."""
    trunk = EfficientNetTrunk("efficientnet-b5", pretrained=True)
    *stem, blocks, padding, convolution, norm, swish = trunk.layers
    stages = list(blocks)
    return OpacityNetwork(
        nn.Sequential(*stem, *stages[:_B5_FRONT]),
        nn.Sequential(*stages[_B5_FRONT:]),
        nn.Sequential(padding, convolution, norm, swish),
        (*_B5_CHANNELS, trunk.channels),
    )


def _linear(channels: int) -> nn.Sequential:
    convolution = nn.Conv2d(channels, _WIDTH, 1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(_WIDTH, momentum=0.05))


def _folded(block: nn.Module) -> nn.Module:
    """The block with its normalisations, as they are after ImageNet, written into its convolutions.

    Training them anew would follow the batches of one collection, and a quarter of the time goes there.
    """
    pairs = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))
    for convolution, norm in pairs:
        setattr(block, convolution, fuse_conv_bn_eval(getattr(block, convolution), getattr(block, norm)))
        setattr(block, norm, nn.Identity())
    return block
