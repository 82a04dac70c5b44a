"""Gather what the ranks find out, without gradients, so that a method's state is the same on all of them."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from mfer_lightning.losses.gather import gather_rows


def gather_from_ranks(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Concatenate the rows of tensors over all ranks, in rank order.

    Every rank must call it at the same point. Without a process group the tensors are returned as they are.

    Args:
        *tensors: (n, ...) each, n equal among them on a rank; it may differ between ranks.

    Returns:
        As many tensors (sum of n over ranks, ...).
    """
    with torch.no_grad():
        return gather_rows(*tensors)


def rows_of_this_rank(rows: Tensor) -> slice:
    """Return where the rows of this rank are among those that :func:`gather_from_ranks` joins.

    Every rank must call it at the same point.

    Args:
        rows: (n, ...), of this rank.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return slice(0, len(rows))
    rank = dist.get_rank()
    (ranks,) = gather_from_ranks(torch.full((len(rows),), rank, device=rows.device))
    start = int((ranks < rank).sum())
    return slice(start, start + len(rows))
