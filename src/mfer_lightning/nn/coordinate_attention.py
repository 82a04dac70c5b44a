"""Coordinate attention: weight each position of a feature map by its row and its column.

Paper: Hou, Zhou, Feng: Coordinate Attention for Efficient Mobile Network Design, CVPR 2021, arXiv 2103.02907. Tensor
names and shapes match the public weight files that contain this module (DDAMFN's). Reimplemented from scratch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CoordinateAttention(nn.Module):
    """Compute weights in (0, 1) for positions and channels: the product of one factor per row and one per column.

    Args:
        channels: channels C of the feature map.
        reduction: ratio of C to the width of the bottleneck, which is at least 8.
    """

    def __init__(self, channels: int, reduction: int = 32) -> None:
        super().__init__()
        inner = max(8, channels // reduction)
        self.conv1 = nn.Conv2d(channels, inner, 1)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, channels, 1)
        self.conv3 = nn.Conv2d(inner, channels, 1)

    def rows(self, x: Tensor) -> Tensor:
        """Pool each row of a map (B,C,h,w) to (B,C,h,1)."""
        return x.mean(3, keepdim=True)

    def columns(self, x: Tensor) -> Tensor:
        """Pool each column of a map (B,C,h,w) to (B,C,1,w)."""
        return x.mean(2, keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        """Compute weights of the same shape as the map (B,C,h,w)."""
        height = x.shape[2]
        both = torch.cat([self.rows(x), self.columns(x).transpose(2, 3)], 2)
        both = F.hardswish(self.bn1(self.conv1(both)))
        by_row = self.conv2(both[:, :, :height]).sigmoid()
        by_column = self.conv3(both[:, :, height:].transpose(2, 3)).sigmoid()
        weights: Tensor = by_row * by_column
        return weights
