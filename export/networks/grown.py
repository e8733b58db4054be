"""Larger EfficientNets that begin as ImageNet's EfficientNet-Lite2.

No package carries weights of the published B4 and B5. Their blocks are Lite2's, only wider and more of
them, so that Lite2's function can be written into them: copies of a channel share the weights that read
it, and further blocks add nothing at first (Chen, Goodfellow and Shlens 2016, "Net2Net: Accelerating
learning via knowledge transfer"). What Lite2 does not have is set to do nothing: the gate of
squeeze-and-excitation to one half, before a projection that is doubled, and swish to be so steep that it
is nearly ReLU. The six at which ReLU6 ends has no counterpart.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

import torch
from monai.networks.nets import EfficientNetBN
from torch import Tensor, nn

from export.networks.lite import LiteTrunk

#: swish(STEEPNESS * x) / STEEPNESS lies within 0.28 / STEEPNESS of ReLU.
STEEPNESS = 3.0
#: Relative noise on the weights, so that training can tell copies apart.
NOISE = 0.02


def _copied(few: int, many: int) -> Tensor:
    """For each of ``many`` channels which of ``few`` it is a copy of."""
    return torch.arange(many) % few


def _reading(weights: Tensor, copies: Tensor) -> Tensor:
    """Weights (out, in, ...) that read the ``copies`` of their input, which share what each had."""
    share = torch.bincount(copies)[copies].reshape(1, -1, 1, 1)
    return weights[:, copies] / share


def _set(convolution: Any, weights: Tensor) -> None:
    convolution.weight.copy_(weights * (1 + NOISE * torch.randn_like(weights)))


def _set_norm(norm: Any, old: Any, copies: Tensor, *, before_swish: bool) -> None:
    steepness = STEEPNESS if before_swish else 1.0
    norm.weight.copy_(old.weight[copies] * steepness)
    norm.bias.copy_(old.bias[copies] * steepness)
    norm.running_mean.copy_(old.running_mean[copies])
    norm.running_var.copy_(old.running_var[copies])


def _grow_block(block: Any, old: Any, inputs: Tensor) -> Tensor:
    """Write ``old`` into the wider ``block``, whose input are copies; the copies that its output is."""
    hidden = inputs
    if block.expand_ratio != 1:
        hidden = _copied(old._bn0.num_features, block._bn0.num_features)
        _set(block._expand_conv, _reading(old._expand_conv.weight, inputs)[hidden])
        _set_norm(block._bn0, old._bn0, hidden, before_swish=True)
    _set(block._depthwise_conv, old._depthwise_conv.weight[hidden] / STEEPNESS)
    _set_norm(block._bn1, old._bn1, hidden, before_swish=True)
    nn.init.zeros_(block._se_expand.weight)
    nn.init.zeros_(block._se_expand.bias)
    outputs = _copied(old._bn2.num_features, block._bn2.num_features)
    _set(block._project_conv, 2 / STEEPNESS * _reading(old._project_conv.weight, hidden)[outputs])
    _set_norm(block._bn2, old._bn2, outputs, before_swish=False)
    return outputs


def _grow(network: Any, lite: Any) -> None:
    """Write all of ``lite`` into ``network``."""
    copies = _copied(lite.stem[1].num_features, network._bn0.num_features)
    _set(network._conv_stem, lite.stem[0].weight[copies])
    _set_norm(network._bn0, lite.stem[1], copies, before_swish=True)
    stages = groupby(lite.blocks, key=lambda block: int(block._bn2.num_features))
    for stage, (_, found) in zip(network._blocks, stages, strict=True):
        old = list(found)
        for block, source in zip(stage, old, strict=False):
            copies = _grow_block(block, source, copies)
        for block in list(stage)[len(old) :]:
            nn.init.zeros_(block._bn2.weight)
    head = _copied(lite.head[1].num_features, network._bn1.num_features)
    _set(network._conv_head, _reading(lite.head[0].weight, copies)[head])
    _set_norm(network._bn1, lite.head[1], head, before_swish=True)


def grown(name: str) -> EfficientNetBN:
    """MONAI's EfficientNet ``name``, B3 or larger, that begins as Lite2; its last layer is random.

    Pictures are normalised as :data:`export.networks.lite.MEAN` and ``STD`` say. After the head's swish
    every feature is ``STEEPNESS`` times that of Lite2.
    """
    network = EfficientNetBN(name, pretrained=False)
    with torch.no_grad():
        _grow(network, LiteTrunk(2, (256, 256)))
    return network
