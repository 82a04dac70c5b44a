"""Gather tensors over ranks without gradients, so that a method's state is the same on all ranks."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from mfer_lightning.losses.gather import gather_rows


def gather_from_ranks(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Concatenate the rows of tensors over all ranks, in rank order.

    Every rank must call it at the same point. Without a process group, the tensors are returned unchanged.

    Args:
        *tensors: (n, ...) each. All tensors of one rank have the same n; n may differ between ranks.

    Returns:
        The same number of tensors, each (sum of n over ranks, ...).
    """
    with torch.no_grad():
        return gather_rows(*tensors)


def rows_of_this_rank(rows: Tensor) -> slice:
    """Return the slice of this rank's rows in the result of :func:`gather_from_ranks`.

    Every rank must call it at the same point.

    Args:
        rows: (n, ...), rows of this rank.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return slice(0, len(rows))
    rank = dist.get_rank()
    (ranks,) = gather_from_ranks(torch.full((len(rows),), rank, device=rows.device))
    start = int((ranks < rank).sum())
    return slice(start, start + len(rows))
