"""Compile the repeated blocks of a network, each kind once, instead of the whole network.

PyTorch calls this regional compilation. The blocks of a stage share one graph, so compilation takes as long as for a
few blocks. DS attention modules are compiled as well; everything else runs in eager mode.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import DropPath
from torch import Tensor, nn

from mfer_lightning.nn.attention import DSAttention

#: Number of graphs per ``forward`` that torch may keep. Stages differ in width, and calls differ in dtype.
_GRAPHS = 64


class TensorDropPath(nn.Module):
    """Stochastic depth with the rate as a tensor, so that blocks with different rates share one compiled graph.

    Equivalent to timm's ``DropPath``, but with different random numbers.

    Args:
        drop_prob: probability of dropping the branch of a sample, 0 <= p < 1.
        scale_by_keep: divide the kept values by 1 - p.

    Example:
        >>> layer = TensorDropPath(0.5).eval()
        >>> layer(torch.ones(2, 3)).sum()
        tensor(6.)
    """

    keep: Tensor

    def __init__(self, drop_prob: float, scale_by_keep: bool = True) -> None:
        super().__init__()
        self.scale_by_keep = scale_by_keep
        self.register_buffer("keep", torch.tensor(1.0 - drop_prob), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Drop whole samples of a branch.

        Args:
            x: (B,...).

        Returns:
            The same shape; in evaluation mode ``x`` itself.
        """
        if not self.training:
            return x
        kept = torch.rand((len(x), *(1 for _ in x.shape[1:])), device=x.device) < self.keep
        return x * ((kept / self.keep) if self.scale_by_keep else kept).to(x.dtype)


def repeated_blocks(network: nn.Module) -> list[nn.Module]:
    """Return the repeated blocks of a network and its attention modules.

    All instances of a class are blocks if some ``Sequential`` or ``ModuleList`` contains several of them that have
    children and equal parameter shapes. Of nested candidates, only the innermost are returned: the blocks of a stage,
    not the stages.

    Args:
        network: any module.

    Returns:
        The blocks in the order of the network, then the attention modules.

    Example:
        >>> block = lambda: nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        >>> len(repeated_blocks(nn.ModuleList(block() for _ in range(4))))
        4
    """
    attention = [module for module in network.modules() if isinstance(module, DSAttention)]
    inside = {id(part) for module in attention for part in module.modules()}
    rest = [module for module in network.modules() if id(module) not in inside]
    kinds = {kind for module in rest for kind in _repeated_kinds(module)}
    outer = {type(m) for m in rest if type(m) in kinds and any(type(p) in kinds for p in m.modules() if p is not m)}
    return [*(module for module in rest if type(module) in kinds - outer), *attention]


def _repeated_kinds(container: nn.Module) -> list[type[nn.Module]]:
    """Return the classes of which a container has several equal instances with children."""
    if not isinstance(container, nn.Sequential | nn.ModuleList):
        return []
    blocks = [child for child in container if next(child.children(), None) is not None]
    alike = [_kind(block) for block in blocks]
    return [type(block) for block, kind in zip(blocks, alike, strict=True) if alike.count(kind) > 1]


def _kind(block: nn.Module) -> tuple[type[nn.Module], tuple[tuple[int, ...], ...]]:
    return type(block), tuple(tuple(p.shape) for p in block.parameters())


def compile_blocks(network: nn.Module, **options: Any) -> list[nn.Module]:
    """Compile the modules found by :func:`repeated_blocks` in place; the names in the state dict do not change.

    The compiler runs on the first call of the blocks. Their stochastic depth is replaced by :class:`TensorDropPath`.

    Args:
        network: any network; unchanged if :func:`repeated_blocks` finds nothing.
        **options: arguments of ``torch.compile``, e.g. ``backend``.

    Returns:
        The blocks that will be compiled.
    """
    blocks = repeated_blocks(network)
    device = next(network.parameters()).device
    for block in blocks:
        for module in list(block.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, DropPath) and child.drop_prob:
                    drop = TensorDropPath(child.drop_prob, child.scale_by_keep)
                    setattr(module, name, drop.to(device).train(child.training))
        block.compile(dynamic=False, **options)
    if blocks:
        config = torch._dynamo.config
        limit = "recompile_limit" if hasattr(config, "recompile_limit") else "cache_size_limit"  # torch 2.6
        setattr(config, limit, max(getattr(config, limit), _GRAPHS))
    return blocks


def count_kinds(blocks: list[nn.Module]) -> int:
    """Count the kinds of blocks (by class and parameter shapes), which is about the number of compiled graphs.

    Example:
        >>> count_kinds([nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(3, 3)])
        2
    """
    return len({_kind(block) for block in blocks})
