"""Shared parts of the convolution tests: shapes, and values with gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

#: Batch, channels, height, width. Some maps are smaller than the kernel, not square, or wider than one tile with a
#: width that is not a multiple of the tile's.
MAPS = [(2, 3, 7, 7), (1, 4, 2, 3), (2, 2, 5, 20), (3, 2, 9, 14), (1, 2, 1, 1), (2, 2, 3, 31)]
KERNELS = [(7, 7), (5, 5), (3, 7)]


def gradients(function: Callable[..., Tensor], *inputs: Tensor) -> tuple[Tensor, ...]:
    inputs = tuple(t.detach().clone().requires_grad_() for t in inputs)
    result = function(*inputs)
    weights = torch.linspace(-1, 1, result.numel(), dtype=result.dtype).view(result.shape)
    return (result.detach(), *torch.autograd.grad((result * weights).sum(), inputs))
