"""Insert attention after a stage of a timm model, on its feature map or on a map built from its tokens."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class AttendedStage(nn.Module):
    """A backbone stage followed by attention.

    Args:
        stage: the original timm stage.
        attention: maps a feature map to a map of the same shape.
    """

    def __init__(self, stage: nn.Module, attention: nn.Module) -> None:
        super().__init__()
        self.stage = stage
        self.attention = attention

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Run the stage with timm's arguments, then the attention on its feature map."""
        return self.attention(self.stage(x, *args, **kwargs))  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[nn.Module]:
        """Iterate over the blocks, then the attention, for timm models that iterate over a stage when checkpointing."""
        yield from self.stage if isinstance(self.stage, nn.Sequential) else (self.stage,)
        yield self.attention


class AttendedTokens(AttendedStage):
    """A stage or block with token output, followed by attention on the square feature map of the tokens.

    Prefix tokens (class, registers) have no position in the image and bypass the attention unchanged.

    Args:
        stage: the original timm stage.
        attention: maps a feature map (B,H,W,C) to a map of the same shape.
        tokens: converts between tokens and feature map.
    """

    def __init__(self, stage: nn.Module, attention: nn.Module, tokens: TokenMap) -> None:
        super().__init__(stage, attention)
        self.tokens = tokens

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Run the stage with timm's arguments, then the attention on the feature map of its tokens."""
        x = self.stage(x, *args, **kwargs)
        return self.tokens.put_back(x, self.attention(self.tokens(x)))

    def __iter__(self) -> Iterator[nn.Module]:
        """Yield the module as a whole, because the attention cannot run separately after the blocks."""
        yield self


class TokenMap(nn.Module):
    """Arrange tokens as a square feature map, and write a modified map back.

    Args:
        prefix: number of leading tokens without a position in the image.
        order: token index of each position, row by row; None: tokens are already in this order.

    Example:
        >>> tokens = torch.arange(5.0).view(1, 5, 1)
        >>> TokenMap(prefix=1)(tokens).squeeze().tolist()
        [[1.0, 2.0], [3.0, 4.0]]
    """

    order: Tensor | None
    back: Tensor | None

    def __init__(self, prefix: int = 0, order: Sequence[int] | None = None) -> None:
        super().__init__()
        self.prefix = prefix
        table = None if order is None else torch.tensor(order)
        self.register_buffer("order", table, persistent=False)
        self.register_buffer("back", None if table is None else table.argsort(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Arrange tokens (B,prefix+H*W,C) as a map (B,H,W,C), H = W."""
        x = x[:, self.prefix :]
        if self.order is not None:
            x = x[:, self.order]
        side = math.isqrt(x.shape[1])
        return x.reshape(x.shape[0], side, side, x.shape[2])

    def put_back(self, x: Tensor, changed: Tensor) -> Tensor:
        """Return tokens (B,prefix+H*W,C): the prefix tokens of ``x``, followed by those of a modified map (B,H,W,C)."""
        tokens = changed.flatten(1, 2)
        if self.back is not None:
            tokens = tokens[:, self.back]
        return torch.cat([x[:, : self.prefix], tokens], dim=1) if self.prefix else tokens

    def extra_repr(self) -> str:
        """Show the number of prefix tokens."""
        return f"prefix={self.prefix}"
