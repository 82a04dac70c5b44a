"""Random numbers that belong to a face in an epoch, whatever batch and rank it is in."""

from __future__ import annotations

import zlib

import torch
from torch import Tensor


def uniforms(seed: int, epoch: int, index: Tensor, count: int) -> Tensor:
    """Draw uniform random numbers that depend on a seed, the epoch and each face's row alone.

    Args:
        seed: any number.
        epoch: counted from 0.
        index: int64 (B,), rows of the dataset's table.
        count: numbers a face.

    Returns:
        Float32 (B,count) within [0, 1), on the CPU.

    Example:
        >>> first = uniforms(0, 0, torch.tensor([3, 5]), 2)
        >>> torch.equal(first[1], uniforms(0, 0, torch.tensor([5]), 2)[0])
        True
    """
    generator, drawn = torch.Generator(), torch.empty(len(index), count)
    for row, face in zip(drawn, index.tolist(), strict=True):
        row.uniform_(generator=generator.manual_seed(zlib.crc32(f"{seed} {epoch} {face}".encode())))
    return drawn
