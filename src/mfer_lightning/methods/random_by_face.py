"""Random numbers that depend on seed, face and epoch only, not on batch or rank."""

from __future__ import annotations

import zlib

import torch
from torch import Tensor


def uniforms(seed: int, epoch: int, index: Tensor, count: int) -> Tensor:
    """Draw uniform random numbers that depend only on a seed, the epoch and the row of each face.

    Args:
        seed: any integer.
        epoch: counted from 0.
        index: int64 (B,), rows in the dataset's table.
        count: random numbers per face.

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
