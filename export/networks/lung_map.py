"""Which share of the lung on each ray is opacity, and whether there is any: on projections over the lungs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.networks.lite import LiteTrunk

#: Blocks of Lite0 before /16 and before /32, and the channels of both depths.
_TO_8, _TO_16 = 5, 11
_CHANNELS = (40, 112)
_WIDTH = 48
_LEAST = 1e-3
#: What the map says where no ray meets lung: below its floor, yet not so low that it eats into lung.
NOWHERE = -1.0


class LungMapNetwork(nn.Module):
    """Frozen ImageNet features of two depths and the pictures themselves, read place by place.

    Experts' masks teach the map: for each place at /8 the logit of the share of lung there that is opacity.
    The picture's logit is linear in two logs: of the lungs' mean share, weighed by depth, and of its root
    mean square, which a small dense opacity moves. What no lung lies at has no say, as its depth is 0.

    ``centre`` and ``spread`` standardise the features, ``floor`` is the map's logit from which a place is
    shown. They are set in training.

    Parameters
    ----------
    size
        (rows, columns) of the pictures, multiples of 32.
    mean, std
        How the pictures' three channels (mean, dense share, depth) were normalised.
    """

    centre: Tensor
    spread: Tensor
    floor: Tensor

    def __init__(self, size: tuple[int, int], mean: float, std: float, *, pretrained: bool = True) -> None:
        super().__init__()
        lite = LiteTrunk(0, size, pretrained=pretrained).eval()
        blocks = list(lite.blocks)
        self.near = nn.Sequential(lite.stem, *blocks[:_TO_8])
        self.far = nn.Sequential(*blocks[_TO_8:_TO_16])
        self.mean, self.std = mean, std
        channels = 3 + sum(_CHANNELS)
        self.register_buffer("centre", torch.zeros(channels))
        self.register_buffer("spread", torch.ones(channels))
        self.read = nn.Sequential(
            nn.Conv2d(channels, _WIDTH, 1), nn.ReLU6(), nn.Dropout2d(0.2), nn.Conv2d(_WIDTH, 1, 1)
        )
        self.whole = nn.Linear(2, 1)
        nn.init.constant_(self.read[-1].bias, -3.0)
        nn.init.constant_(self.whole.weight, 1.0)
        nn.init.constant_(self.whole.bias, 5.0)
        self.register_buffer("floor", torch.tensor(0.0))

    def features(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) to what is read at each place, (N, channels, H/8, W/8), the pictures first."""
        near = self.near(image)
        far = functional.interpolate(self.far(near), scale_factor=2.0, mode="bilinear")
        pictures = functional.avg_pool2d(image * self.std + self.mean, 8)
        return torch.cat([pictures, near, far], dim=1)

    def answer(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features to the picture's logit (N,) and the map's (N, 1, h, w)."""
        standard = (features - self.centre[:, None, None]) / self.spread[:, None, None]
        places = self.read(standard.clamp(-6, 6))
        depth = features[:, 2:3].clamp(min=0)
        weight = depth / depth.sum(dim=(2, 3), keepdim=True).clamp(min=_LEAST)
        share = torch.sigmoid(places)
        mean = (weight * share).sum(dim=(1, 2, 3))
        square = (weight * share.square()).sum(dim=(1, 2, 3))
        logs = torch.stack([(mean + _LEAST).log(), (square + _LEAST * _LEAST).log() / 2], dim=1)
        return self.whole(logs)[:, 0], places

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) to logits (N, 2), without and with findings, and attention (N, 1, H/8, W/8).

        Attention is the map's logit above ``floor``, ``NOWHERE`` where no lung is.
        """
        features = self.features(image)
        logit, places = self.answer(features)
        half = logit[:, None] / 2
        lung = features[:, 2:3] > _LEAST
        shown = torch.where(lung, places - self.floor, torch.full_like(places, NOWHERE))
        return torch.cat([-half, half], dim=1), shown
