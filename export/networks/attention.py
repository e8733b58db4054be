"""A linear classifier on pooled features that gives its own attention map."""

from __future__ import annotations

import torch
from torch import nn


class AttentionClassifier(nn.Module):
    """A trunk and a 1 x 1 convolution: logits and the evidence per place that they are the mean of.

    For a linear classifier on average-pooled features the class activation map (Zhou et al. 2016,
    "Learning deep features for discriminative localization") is exact: the logit is the spatial
    mean of ``attention`` plus the class's bias, so no gradient is needed to show whence it came.

    Parameters
    ----------
    trunk
        Maps (N, 3, H, W) to features (N, ``channels``, h, w).
    dropout
        Share of the feature channels dropped in training.
    """

    def __init__(self, trunk: nn.Module, channels: int, classes: int, dropout: float = 0.3) -> None:
        super().__init__()
        self.trunk = trunk
        self.dropout = nn.Dropout2d(dropout)
        self.evidence = nn.Conv2d(channels, classes, kernel_size=1, bias=False)
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, 3, H, W) to logits (N, classes) and attention (N, classes, h, w)."""
        attention = self.evidence(self.dropout(self.trunk(image)))
        return attention.mean(dim=(2, 3)) + self.bias, attention
