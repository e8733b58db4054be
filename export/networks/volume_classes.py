"""Networks that tell the class of a segmented volume: two channels, the lesions and their mask, in 3-D.

Jin et al. 2020 compared ResNet-50, Inception, DPN-92 and attention ResNet-50 and took ResNet-50. Here is
that, from MONAI, and each of them narrow enough for few patients; they share the head, which gives its own
attention map.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from monai.networks.nets import ResNet, resnet50
from torch import Tensor, nn
from torch.nn import functional

CHANNELS, CLASSES = 2, 2
_STEM = 16


class VolumeClassifier(nn.Module):
    """A trunk and a linear classifier on its pooled features, with the evidence per place.

    As ``export.networks.attention.AttentionClassifier``, for volumes: each logit is the mean of the attention
    of its class plus a bias.

    Parameters
    ----------
    trunk
        Maps (N, 2, D, H, W) to features (N, ``channels``, d, h, w).
    dropout
        Share of the feature channels dropped in training.
    """

    def __init__(self, trunk: nn.Module, channels: int, dropout: float = 0.3) -> None:
        super().__init__()
        self.trunk = trunk
        self.dropout = nn.Dropout3d(dropout)
        self.evidence = nn.Conv3d(channels, CLASSES, kernel_size=1, bias=False)
        self.bias = nn.Parameter(torch.zeros(CLASSES))

    def forward(self, volume: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 2, D, H, W) to logits (N, 2) and attention (N, 2, d, h, w)."""
        attention = self.evidence(self.dropout(self.trunk(volume)))
        return attention.mean(dim=(2, 3, 4)) + self.bias, attention


class ResNetTrunk(nn.Module):
    """What comes before the pooling of MONAI's 3-D ResNet; ``stages`` (of four) of it."""

    def __init__(self, network: ResNet, stages: int = 4) -> None:
        super().__init__()
        pool = nn.Identity() if network.no_max_pool else network.maxpool
        blocks = (network.layer1, network.layer2, network.layer3, network.layer4)
        self.layers = nn.Sequential(network.conv1, network.bn1, network.act, pool, *blocks[:stages])

    def forward(self, volume: Tensor) -> Tensor:
        """(N, 2, D, H, W) to features."""
        features: Tensor = self.layers(volume)
        return features


def published() -> VolumeClassifier:
    """ResNet-50 as published: MONAI's, with its own widths; features at /16."""
    return VolumeClassifier(ResNetTrunk(resnet50(spatial_dims=3, n_input_channels=CHANNELS)), 2048)


def compact() -> VolumeClassifier:
    """Three stages of one and two basic blocks, 16 to 64 channels wide; features at /8."""
    network = ResNet(
        "basic",
        [1, 2, 2, 1],
        [_STEM, 32, 64, 64],
        spatial_dims=3,
        n_input_channels=CHANNELS,
        conv1_t_size=5,
        conv1_t_stride=2,
        no_max_pool=True,
    )
    return VolumeClassifier(ResNetTrunk(network, stages=3), 64)


def resnet() -> VolumeClassifier:
    """ResNet-50's stages of 3, 4, 6 and 3 bottlenecks, an eighth as wide; features at /16."""
    network = ResNet(
        "bottleneck",
        [3, 4, 6, 3],
        [8, 16, 32, 64],
        spatial_dims=3,
        n_input_channels=CHANNELS,
        conv1_t_size=5,
        conv1_t_stride=2,
        no_max_pool=True,
    )
    return VolumeClassifier(ResNetTrunk(network), 256)


def _unit(
    inside: int, outside: int, size: int | tuple[int, int, int] = 3, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    sides = (size,) * 3 if isinstance(size, int) else size
    return nn.Sequential(
        nn.Conv3d(
            inside,
            outside,
            sides,
            stride=stride,
            padding=tuple(side // 2 for side in sides),
            groups=groups,
            bias=False,
        ),
        nn.BatchNorm3d(outside),
        nn.ReLU(inplace=True),
    )


class Inception(nn.Module):
    """Convolutions of several sizes side by side, as Szegedy et al. 2016 have them: 1, 3, two 3, a pool."""

    def __init__(self, inside: int, each: int, stride: int = 1) -> None:
        super().__init__()
        self.one = _unit(inside, each, 1, stride)
        self.three = nn.Sequential(_unit(inside, each, 1), _unit(each, each, 3, stride))
        self.five = nn.Sequential(_unit(inside, each, 1), _unit(each, each), _unit(each, each, 3, stride))
        self.pool = nn.Sequential(nn.MaxPool3d(3, stride, padding=1), _unit(inside, each, 1))

    def forward(self, features: Tensor) -> Tensor:
        """(N, ``inside``, ...) to (N, 4 x ``each``, ...)."""
        branches = (self.one, self.three, self.five, self.pool)
        return torch.cat([branch(features) for branch in branches], dim=1)


def inception() -> VolumeClassifier:
    """Six Inception blocks, 32 to 128 channels wide; features at /16."""
    trunk = nn.Sequential(
        _unit(CHANNELS, _STEM, 5, 2),
        Inception(_STEM, 8, 2),
        Inception(32, 8),
        Inception(32, 16, 2),
        Inception(64, 16),
        Inception(64, 32, 2),
        Inception(128, 32),
    )
    return VolumeClassifier(trunk, 128)


class DualPath(nn.Module):
    """A block of Chen et al. 2017: of what a grouped bottleneck gives, ``kept`` channels are added to those
    of the residual path, and ``more`` come to the dense path."""

    def __init__(self, inside: int, width: int, kept: int, more: int, stride: int, *, first: bool) -> None:
        super().__init__()
        self.kept = kept
        self.entry = _unit(inside, kept + 2 * more, 1, stride) if first else None
        self.layers = nn.Sequential(
            _unit(inside, width, 1),
            _unit(width, width, 3, stride, groups=4),
            _unit(width, kept + more, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(N, ``kept`` + dense, ...) to the same with ``more`` channels, in a stage's first block 3 x."""
        before = features if self.entry is None else self.entry(features)
        given = self.layers(features)
        residual = before[:, : self.kept] + given[:, : self.kept]
        return torch.cat([residual, before[:, self.kept :], given[:, self.kept :]], dim=1)


def dual_path(counts: Sequence[int] = (2, 2, 6, 2)) -> VolumeClassifier:
    """DPN; ``counts`` blocks a stage (DPN-92 has 3, 4, 20, 3), 16 to 96 channels wide; features at /16."""
    layers: list[nn.Module] = [_unit(CHANNELS, _STEM, 5, 2)]
    inside = _STEM
    for stage, count in enumerate(counts):
        kept, more, width = 16 * (stage + 1), 4 * (stage + 1), 16 * (stage + 1)
        for number in range(count):
            first = number == 0
            stride = 2 if first and stage else 1
            layers.append(DualPath(inside, width, kept, more, stride, first=first))
            inside = kept + 3 * more if first else inside + more
    return VolumeClassifier(nn.Sequential(*layers), inside)


class Residual(nn.Module):
    """Two 3 x 3 x 3 convolutions beside a shortcut."""

    def __init__(self, inside: int, outside: int, stride: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _unit(inside, outside, 3, stride),
            nn.Conv3d(outside, outside, 3, padding=1, bias=False),
            nn.BatchNorm3d(outside),
        )
        same = inside == outside and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv3d(inside, outside, 1, stride, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(N, ``inside``, ...) to (N, ``outside``, ...)."""
        return functional.relu(self.layers(features) + self.shortcut(features))


class Attending(nn.Module):
    """An attention module of Wang et al. 2017: features, and how much each counts by a look from farther."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.features = Residual(channels, channels)
        self.far = nn.Sequential(nn.MaxPool3d(2), Residual(channels, channels))
        self.weight = nn.Sequential(
            _unit(channels, channels, 1), nn.Conv3d(channels, channels, 1), nn.Sigmoid()
        )

    def forward(self, features: Tensor) -> Tensor:
        """(N, ``channels``, D, H, W) to the same shape."""
        near = self.features(features)
        far = functional.interpolate(self.far(features), size=features.shape[2:], mode="trilinear")
        weighed: Tensor = near * (1 + self.weight(far))
        return weighed


def attention_resnet() -> VolumeClassifier:
    """Residual attention network: three stages with an attention module each, 16 to 64 wide; at /8."""
    trunk = nn.Sequential(
        _unit(CHANNELS, _STEM, 5, 2),
        Residual(_STEM, _STEM),
        Attending(_STEM),
        Residual(_STEM, 32, 2),
        Attending(32),
        Residual(32, 64, 2),
        Attending(64),
        Residual(64, 64),
    )
    return VolumeClassifier(trunk, 64)


NETWORKS: Mapping[str, Callable[[], VolumeClassifier]] = {
    "resnet": resnet,
    "inception": inception,
    "dpn": dual_path,
    "attention-resnet": attention_resnet,
}
"""The four of the paper, narrow, by the names under which they are compared."""
