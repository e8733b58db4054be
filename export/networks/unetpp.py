"""3-D U-Net++ of MONAI, as Jin et al. 2020 chose it, and a compact one that two cores can train and run."""

from __future__ import annotations

import torch
from monai.networks.nets import BasicUNetPlusPlus
from torch import Tensor, nn

from export.networks.folding import folded, unfolded
from export.networks.prior import primed

#: The published patch: 256 x 256 in plane, 128 slices; of (1, 1, 2.5) mm.
PUBLISHED_PATCH = (128, 256, 256)


class UNetPlusPlus(nn.Module):
    """3-D U-Net++ with one logit for the findings.

    ``fold``: rows and columns are folded into so many channels to a side before the first convolution and
    unfolded after the last, so that the network works on a grid that is as many times coarser in plane and
    still sees and draws every voxel. 1 is U-Net++ as published.
    """

    def __init__(self, features: tuple[int, ...], fold: int) -> None:
        super().__init__()
        self.fold = fold
        self.network = BasicUNetPlusPlus(3, fold**2, fold**2, features=features, deep_supervision=True)

    def forward(self, image: Tensor) -> Tensor:
        """(N, 1, D, H, W) to logits: (N, 1, D, H, W), in training (4, N, 1, D, H, W), the last the best."""
        answers = [unfolded(answer, self.fold) for answer in self.network(folded(image, self.fold))]
        return torch.stack(answers) if self.training else answers[-1]


def published() -> UNetPlusPlus:
    """U-Net++ for patches of ``PUBLISHED_PATCH``; the widths are MONAI's, the paper names none."""
    return primed(UNetPlusPlus((32, 32, 64, 128, 256, 32), fold=1), heads=4)


def compact() -> UNetPlusPlus:
    """Half as wide, on a grid of 2 x 2 voxels in plane."""
    return primed(UNetPlusPlus((16, 32, 48, 64, 96, 16), fold=2), heads=4)
