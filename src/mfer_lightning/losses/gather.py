"""Gather the rows of all ranks with gradients, for losses that need the faces of all ranks."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


class _GatherRows(torch.autograd.Function):
    """Concatenate rows over ranks; the gradient of a row is the sum of its gradients from the losses of all ranks."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, rows: Tensor, sizes: list[int]) -> Tensor:
        start = sum(sizes[: dist.get_rank()])
        ctx.window = (start, start + sizes[dist.get_rank()])  # type: ignore[attr-defined]
        padded = rows.new_zeros(max(sizes), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        start, end = ctx.window  # type: ignore[attr-defined]
        return total[start:end], None


def gather_rows(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Concatenate the rows of each tensor over all ranks, in rank order, keeping gradients.

    Every rank computes the loss of the combined batch. The backward pass sums the gradients of the ranks, and
    DistributedDataParallel then averages over ranks, so that the gradient of a parameter equals that of one process
    with the combined batch. Without a process group, the tensors are returned unchanged.

    Args:
        *tensors: (B, ...) each. All tensors of one rank have the same B; B may differ between ranks.

    Returns:
        The same number of tensors, each (sum of B over ranks, ...).

    Example:
        >>> gather_rows(torch.ones(2, 3))[0].shape
        torch.Size([2, 3])
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return tensors
    size = torch.tensor([len(tensors[0])], device=tensors[0].device)
    gathered = [torch.empty_like(size) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, size)
    sizes = [int(n) for n in gathered]
    return tuple(_GatherRows.apply(tensor, sizes) for tensor in tensors)
