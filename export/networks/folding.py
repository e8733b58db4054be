"""Rows and columns folded into channels, so that a network works on a grid that is coarser in plane.

It still sees and draws every voxel: what is folded before the first convolution is unfolded after the last.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


def folded(image: Tensor, fold: int) -> Tensor:
    """(N, C, D, H, W) to (N, C fold^2, D, H / fold, W / fold)."""
    if fold == 1:
        return image
    count, _, depth, rows, columns = image.shape
    planes = functional.pixel_unshuffle(image.transpose(1, 2).flatten(0, 1), fold)
    return planes.reshape(count, depth, -1, rows // fold, columns // fold).transpose(1, 2)


def unfolded(answer: Tensor, fold: int) -> Tensor:
    """The way back of :func:`folded`."""
    if fold == 1:
        return answer
    count, _, depth, rows, columns = answer.shape
    planes = functional.pixel_shuffle(answer.transpose(1, 2).flatten(0, 1), fold)
    return planes.reshape(count, depth, -1, rows * fold, columns * fold).transpose(1, 2)


class Folded(nn.Module):
    """A 3-D network of ``fold``^2 channels in and out on a folded grid; (N, 1, D, H, W) to logits."""

    def __init__(self, network: nn.Module, fold: int) -> None:
        super().__init__()
        self.network, self.fold = network, fold

    def forward(self, image: Tensor) -> Tensor:
        """A logit for every voxel."""
        return unfolded(self.network(folded(image, self.fold)), self.fold)
