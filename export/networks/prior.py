"""Networks that begin with findings as rare: no step is spent on learning that most voxels are none."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

_Network = TypeVar("_Network", bound=nn.Module)
#: The logit that a voxel begins with: findings are about a twentieth of what is cut out.
_RARE = -3.0


def primed(network: _Network, heads: int = 1) -> _Network:
    """A network whose last ``heads`` convolutions begin with the logit of what is rare as their bias."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv3d) and layer.bias is not None]
    for layer in layers[-heads:]:
        nn.init.constant_(layer.bias, _RARE)
    return network
