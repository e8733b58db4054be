"""What Jin et al. 2020 compared 3-D U-Net++ with: FCN-8s, U-Net and V-Net, compact and in three dimensions.

All work on voxels folded 2 x 2 in plane and are normalised by instance: batches hold few patches. Each halves
the folded grid four times, so that depth is a multiple of 16, rows and columns of 32.
"""

from __future__ import annotations

from monai.networks.nets import UNet
from monai.networks.nets.vnet import DownTransition, InputTransition, UpTransition
from torch import Tensor, nn
from torch.nn import functional

from export.networks.folding import Folded, folded
from export.networks.prior import primed

FOLD = 2
_ACT = ("leakyrelu", {"inplace": True, "negative_slope": 0.1})


def _stage(inside: int, outside: int, convolutions: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number in range(convolutions):
        layers += [
            nn.Conv3d(inside if number == 0 else outside, outside, 3, padding=1),
            nn.InstanceNorm3d(outside, affine=True),
            nn.LeakyReLU(0.1, inplace=True),
        ]
    return nn.Sequential(*layers)


class FCN8s(nn.Module):
    """FCN-8s (Long et al. 2015) with 3-D convolutions: scores at strides 8, 16 and 32 in plane, added up.

    The folding stands for the first pooling; along the body the strides are half as long.
    """

    def __init__(self, widths: tuple[int, int, int, int, int] = (24, 48, 96, 128, 160)) -> None:
        super().__init__()
        first, *others = widths
        self.first = _stage(FOLD**2, first, 2)
        self.stages = nn.ModuleList(
            _stage(a, b, 2) for a, b in zip([first, *others[:-1]], others, strict=True)
        )
        self.scores = nn.ModuleList(nn.Conv3d(width, 1, 1) for width in others[1:])

    def forward(self, image: Tensor) -> Tensor:
        """(N, 1, D, H, W) to logits likewise."""
        values = self.first(folded(image, FOLD))
        reached = []
        for stage in self.stages:
            values = stage(functional.max_pool3d(values, 2))
            reached.append(values)
        fine, middle, coarse = (score(v) for score, v in zip(self.scores, reached[1:], strict=True))
        summed = middle + _enlarged(coarse, middle)
        return _enlarged(fine + _enlarged(summed, fine), image)


def _enlarged(scores: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(scores, size=like.shape[2:], mode="trilinear", align_corners=False)


class VNet(nn.Module):
    """V-Net (Milletari et al. 2016) of MONAI's transitions, half as wide and with fewer convolutions."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        widths = (16 * width, 8 * width, 4 * width, 2 * width)
        self.begin = InputTransition(3, FOLD**2, width, _ACT)
        self.down = nn.ModuleList(
            DownTransition(3, width * 2**level, convolutions, _ACT)
            for level, convolutions in enumerate((1, 2, 2, 1))
        )
        self.up = nn.ModuleList(
            UpTransition(3, inside, outside, 1, _ACT, (None, 0.0))
            for inside, outside in zip((16 * width, *widths), widths, strict=False)
        )
        self.end = nn.Conv3d(2 * width, FOLD**2, 1)

    def forward(self, image: Tensor) -> Tensor:
        """(N, 4, D, H, W) to logits likewise."""
        reached = [self.begin(image)]
        for down in self.down:
            reached.append(down(reached[-1]))
        values = reached.pop()
        for up in self.up:
            values = up(values, reached.pop())
        return self.end(values)


def fcn8s() -> nn.Module:
    """FCN-8s, compact."""
    return primed(FCN8s())


def unet() -> nn.Module:
    """MONAI's U-Net with residual units."""
    channels, strides = (16, 32, 64, 96, 128), (2, 2, 2, 2)
    network = UNet(3, FOLD**2, FOLD**2, channels, strides, num_res_units=2, norm="INSTANCE", act=_ACT)
    return primed(Folded(network, FOLD))


def vnet() -> nn.Module:
    """V-Net, compact."""
    return primed(Folded(normalised_by_instance(VNet()), FOLD))


def normalised_by_instance(network: nn.Module) -> nn.Module:
    """A network with instance norm wherever it has batch norm."""
    for name, layer in network.named_children():
        if isinstance(layer, nn.BatchNorm3d):
            setattr(network, name, nn.InstanceNorm3d(layer.num_features, affine=True))
        else:
            normalised_by_instance(layer)
    return network
