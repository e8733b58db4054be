"""What trains the segmentation networks: their loss, and how slices come to them."""

from __future__ import annotations

from pathlib import Path

import torch
from monai.losses import DiceLoss
from torch import Tensor, nn
from torch.nn import functional

from export.data.ct_segment import Batch
from export.training import Plan, Trainer, in_bfloat16


class Loss(nn.Module):
    """Soft Dice over the batch, mean over the two channels, smooth 1, plus binary cross entropy."""

    def __init__(self) -> None:
        super().__init__()
        self.dice = DiceLoss(batch=True, smooth_nr=1.0, smooth_dr=1.0)

    def forward(self, logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
        """Logits, target and its mask, each (N, 2, H, W)."""
        entropy = functional.binary_cross_entropy_with_logits(logits, target, weight=known)
        result: Tensor = self.dice(torch.sigmoid(logits) * known, target * known) + entropy
        return result


class SegmentTrainer(Trainer[Batch]):
    """Trains on batches of images with what is asked of them; ``mean`` and ``std`` normalise the images."""

    def __init__(self, network: nn.Module, plan: Plan, mean: float, std: float, checkpoint: Path) -> None:
        super().__init__(network, plan, checkpoint)
        self.mean, self.std, self.loss = mean, std, Loss()

    def loss_of(self, cases: Batch) -> Tensor:
        """The loss of what the network answers."""
        image = self.prepared((cases.image.to(self.device) - self.mean) / self.std)
        with in_bfloat16(self.device):
            answer = self.network(image)
        return self.lost(answer, cases.target.to(self.device), cases.known.to(self.device))

    def prepared(self, image: Tensor) -> Tensor:
        """Normalised slices (N, 1, H, W) as the network's input."""
        return image.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)

    def lost(self, answer: Tensor, target: Tensor, known: Tensor) -> Tensor:
        """The loss of what the network answered."""
        result: Tensor = self.loss(answer.float(), target, known)
        return result
