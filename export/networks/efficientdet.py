"""The slice-wise segmentation network: an EfficientNet trunk, a BiFPN and a dense head.

The "Modified EfficientDet" of Carmo et al. 2021 (trunk EfficientNet-B4 to /8, three BiFPN cells of
128 channels, expand to the input's size), and the same network with other trunks, widths and depths.
The BiFPN is that of Tan et al. 2020 ("EfficientDet"): fast normalised fusion, separable convolutions.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.networks.grown import grown
from export.networks.lite import LiteTrunk, Variant

FUSION_EPSILON = 1e-4
LEVELS = 5


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Batch normalisation with EfficientDet's constants (momentum 0.99 in TensorFlow's terms)."""
    return nn.BatchNorm2d(channels, momentum=0.01, eps=1e-3)


def separable(channels: int, out_channels: int, *, bias: bool = True) -> nn.Sequential:
    """3x3 depthwise and 1x1 pointwise convolution, (N, channels, H, W) to (N, out_channels, H, W)."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
        nn.Conv2d(channels, out_channels, 1, bias=bias),
    )


class Fusion(nn.Module):
    """Fast normalised fusion of ``count`` maps of one shape, then swish and a separable convolution."""

    def __init__(self, channels: int, count: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(count))
        self.convolution = nn.Sequential(separable(channels, channels), batch_norm(channels))

    def forward(self, *maps: Tensor) -> Tensor:
        """Maps (N, channels, H, W) to one of the same shape."""
        weights = functional.relu(self.weights)
        weights = weights / (weights.sum() + FUSION_EPSILON)
        fused = sum((weights[i] * maps[i] for i in range(1, len(maps))), weights[0] * maps[0])
        result: Tensor = self.convolution(functional.silu(fused))
        return result


def double(x: Tensor) -> Tensor:
    """Nearest-neighbour upsampling by two."""
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def halve(x: Tensor) -> Tensor:
    """Max-pooling 3x3 with stride two; an even size is halved exactly."""
    return functional.max_pool2d(x, 3, 2, 1)


class Cell(nn.Module):
    """One BiFPN cell over five levels, finest first: top-down, then bottom-up."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(Fusion(channels, 2) for _ in range(LEVELS - 1))
        middle = [Fusion(channels, 3) for _ in range(LEVELS - 2)]
        self.up = nn.ModuleList([*middle, Fusion(channels, 2)])

    def forward(self, first: list[Tensor], second: list[Tensor]) -> list[Tensor]:
        """Five maps for the top-down path and five (often the same) for the bottom-up path."""
        passing = [first[-1]]
        for level in range(LEVELS - 2, -1, -1):
            passing.insert(0, self.down[level](first[level], double(passing[0])))
        results = [passing[0]]
        for level in range(1, LEVELS - 1):
            node = self.up[level - 1]
            results.append(node(second[level], passing[level], halve(results[-1])))
        results.append(self.up[-1](second[-1], halve(results[-1])))
        return results


class Entry(nn.Module):
    """Brings the trunk's maps, three to five from /2 on, to five of ``channels`` each.

    All but the finest get a projection of their own for the bottom-up path of the first cell, as in
    EfficientDet; levels that the trunk does not have are pooled from its coarsest map.
    """

    def __init__(self, taps: tuple[int, ...], channels: int) -> None:
        super().__init__()
        self.first = nn.ModuleList(self._projection(tap, channels) for tap in taps)
        self.second = nn.ModuleList(self._projection(tap, channels) for tap in taps[1:])
        self.pooled = LEVELS - len(taps)
        self.next = self._projection(taps[-1], channels) if self.pooled else None

    @staticmethod
    def _projection(tap: int, channels: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(tap, channels, 1), batch_norm(channels))

    def forward(self, maps: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """The trunk's maps to the two lists of five that :class:`Cell` reads."""
        coarse: list[Tensor] = []
        if self.next is not None:
            coarse = [halve(self.next(maps[-1]))]
            for _ in range(self.pooled - 1):
                coarse.append(halve(coarse[-1]))
        first = [project(x) for project, x in zip(self.first, maps, strict=True)]
        second = [project(x) for project, x in zip(self.second, maps[1:], strict=True)]
        return first + coarse, [first[0], *second, *coarse]


class EfficientNetTrunk(nn.Module):
    """MONAI's EfficientNet up to the stage at /8, without what comes after; it begins as Lite2.

    "Same" padding is fixed for even sizes (multiples of 8).
    """

    STAGES = 3

    def __init__(self, name: str) -> None:
        super().__init__()
        whole = grown(name)
        whole.set_swish(memory_efficient=False)
        self.padding, self.stem, self.norm = whole._conv_stem_padding, whole._conv_stem, whole._bn0
        self.stages = nn.ModuleList(list(whole._blocks)[: self.STAGES])

    def forward(self, x: Tensor) -> list[Tensor]:
        """Pictures (N, 3, H, W) to three maps at /2, /4 and /8."""
        x = functional.silu(self.norm(self.stem(self.padding(x))))
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class ModifiedEfficientDet(nn.Module):
    """Slices to logits of lung and findings.

    ``expand``: a transposed convolution brings the finest map (/2) to the input's size before the head,
    as published; without it the head works at /2 and its logits are brought up bilinearly, which costs
    a quarter.
    """

    def __init__(
        self,
        trunk: nn.Module,
        taps: tuple[int, ...],
        *,
        channels: int = 128,
        cells: int = 3,
        head: int = 3,
        expand: bool = True,
        classes: int = 2,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.entry = Entry(taps, channels)
        self.cells = nn.ModuleList(Cell(channels) for _ in range(cells))
        self.expand: nn.Module | None = None
        if expand:
            up = nn.ConvTranspose2d(channels, channels, 2, 2)
            self.expand = nn.Sequential(up, batch_norm(channels), nn.SiLU())
        parts: list[nn.Module] = []
        for _ in range(head):
            parts += [separable(channels, channels, bias=False), batch_norm(channels), nn.SiLU()]
        self.head = nn.Sequential(*parts, separable(channels, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Normalised slices (N, 3, H, W), H and W multiples of 32, to logits (N, classes, H, W)."""
        first, second = self.entry(self.trunk(x))
        for cell in self.cells:
            first = second = cell(first, second)
        finest = first[0]
        if self.expand is not None:
            result: Tensor = self.head(self.expand(finest))
            return result
        logits = self.head(finest)
        return functional.interpolate(logits, scale_factor=2.0, mode="bilinear", align_corners=False)


class LiteStages(nn.Module):
    """EfficientNet-Lite's five maps at /2 to /32, as a trunk."""

    CHANNELS: ClassVar[dict[int, tuple[int, ...]]] = {
        0: (16, 24, 40, 112, 320),
        1: (16, 24, 40, 112, 320),
        2: (16, 24, 48, 120, 352),
    }

    def __init__(self, variant: Variant, size: int, *, pretrained: bool) -> None:
        super().__init__()
        self.lite = LiteTrunk(variant, (size, size), pretrained=pretrained)
        self.lite.head = nn.Identity()

    def forward(self, x: Tensor) -> list[Tensor]:
        """Pictures (N, 3, size, size) to five maps."""
        return self.lite.stages(x)


def published() -> ModifiedEfficientDet:
    """The network as published: EfficientNet-B4 trunk, three cells of 128 channels, expand, head."""
    return ModifiedEfficientDet(EfficientNetTrunk("efficientnet-b4"), (24, 32, 56))


def compact(size: int = 256, channels: int = 64, *, pretrained: bool = True) -> ModifiedEfficientDet:
    """For hosts without a GPU: ImageNet's EfficientNet-Lite0 trunk to /32, two cells, head at /2."""
    trunk = LiteStages(0, size, pretrained=pretrained)
    return ModifiedEfficientDet(
        trunk, LiteStages.CHANNELS[0], channels=channels, cells=2, head=2, expand=False
    )
