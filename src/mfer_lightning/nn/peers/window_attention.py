"""One level of POSTER V2: cross attention from a landmark map to a face map, in one window over the whole map.

Paper: Mao et al.: POSTER++, Pattern Recognition 2024, arXiv 2301.12149; the window attention with a global query is
from Hatamizadeh et al.: Global Context Vision Transformers, ICML 2023, arXiv 2206.09959, with the relative position
bias of Liu et al.: Swin, ICCV 2021, arXiv 2103.14030. Initial values as in the public code of POSTER V2. Reimplemented.
"""

from __future__ import annotations

import torch
from timm.layers import DropPath, Mlp
from torch import Tensor, nn


class CrossFusion(nn.Module):
    """Halve the sides of a face map, attend to it with queries from a landmark map, and apply a feed-forward block.

    Args:
        width: channels C of the face map.
        heads: attention heads.
        side: side of the halved map.
        landmark_width: channels of the landmark map.
        drop_path: probability of dropping a residual branch.
        always: always apply a 3x3 convolution to the landmark map, as the authors do on the last level; otherwise a 1x1
            convolution if its width differs.
    """

    def __init__(
        self, width: int, heads: int, side: int, landmark_width: int, drop_path: float, always: bool = False
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, 2, 1)
        self.norm = nn.LayerNorm(width)
        self.landmark_conv: nn.Module = nn.Identity()
        if always or landmark_width != width:
            kernel = 3 if always else 1
            self.landmark_conv = nn.Conv2d(landmark_width, width, kernel, padding=kernel // 2)
        self.attn = GlobalQueryAttention(width, heads, side)
        self.ffn = FeedForward(width, drop_path)

    def forward(self, face: Tensor, landmark: Tensor) -> Tensor:
        """Fuse a face map (B,C,2s,2s) and a landmark map (B,L,s,s) to (B,C,s,s)."""
        x = self.norm(self.conv(face).permute(0, 2, 3, 1))
        query = self.landmark_conv(landmark).flatten(2).transpose(1, 2)
        fused = self.ffn(self.attn(x.flatten(1, 2), query).view_as(x), x)
        return fused.permute(0, 3, 1, 2)  # type: ignore[no-any-return]


class GlobalQueryAttention(nn.Module):
    """Multi-head attention with an external query and a relative position bias.

    Args:
        width: C of a token, a multiple of ``heads``.
        heads: number of heads h.
        side: s of the window, of s*s tokens.
    """

    relative_position_index: Tensor

    def __init__(self, width: int, heads: int, side: int) -> None:
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * side - 1) ** 2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.qkv = nn.Linear(width, 2 * width)  # only key and value, named as in the public files
        self.proj = nn.Linear(width, width)
        self.register_buffer("relative_position_index", relative_positions(side), persistent=False)

    def forward(self, x: Tensor, query: Tensor) -> Tensor:
        """Attend to tokens (B,N,C) with queries (B,N,C); return (B,N,C)."""
        batch, count, width = x.shape
        q = query.reshape(batch, count, self.heads, -1).transpose(1, 2)
        k, v = self.qkv(x).reshape(batch, count, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(2, 3) + bias
        return self.proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, count, width))  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """Add the attention output to the shortcut, then the output of an MLP, each with a layer scale initialised to 1e-5.

    Args:
        width: C of a token.
        drop_path: probability of dropping a residual branch.
    """

    def __init__(self, width: int, drop_path: float) -> None:
        super().__init__()
        self.gamma1 = nn.Parameter(torch.full((width,), 1e-5))
        self.gamma2 = nn.Parameter(torch.full((width,), 1e-5))
        self.mlp = Mlp(width, 4 * width)
        self.norm = nn.LayerNorm(width)
        self.drop_path = DropPath(drop_path)

    def forward(self, attended: Tensor, shortcut: Tensor) -> Tensor:
        """Map the attention output (B,...,C) and the shortcut (B,...,C) to (B,...,C)."""
        x = shortcut + self.drop_path(self.gamma1 * attended)
        return x + self.drop_path(self.gamma2 * self.mlp(self.norm(x)))  # type: ignore[no-any-return]


def relative_positions(side: int) -> Tensor:
    """Return the index of the offset between any two positions of a square window.

    Args:
        side: s of the window.

    Returns:
        int64 (s*s,s*s), within [0, (2s-1)^2): row offset times 2s-1 plus column offset, each shifted by s-1.

    Example:
        >>> relative_positions(2)
        tensor([[4, 3, 1, 0],
                [5, 4, 2, 1],
                [7, 6, 4, 3],
                [8, 7, 5, 4]])
    """
    place = torch.arange(side * side)
    row, column = place // side, place % side
    rows, columns = (x[:, None] - x[None, :] + side - 1 for x in (row, column))
    return rows * (2 * side - 1) + columns
