"""Dense convolutions on small feature maps on the CPU, computed tap by tap without multiplying padding.

This is the project's own implementation. With a dense 7x7 kernel on a 7x7 map, 43% of the multiplications read padding.
They are skipped by computing one matrix product per tap, over only those positions where the tap overlaps the map.
Exact up to the order of summation, except that in 16-bit precision, each tap's product is rounded before it is added.
``docs/performance.md`` lists times on one core with AVX-512 and bfloat16 products (torch 2.14.1, oneDNN 3.12);
``mfer benchmark parts=[convolutions] device=cpu`` measures them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mfer_lightning.nn.convolution.context import autocast

#: Batch, rows and columns of a map, as slices.
_Region = tuple[slice, slice, slice]


def convolve_taps(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Compute a dense convolution with stride 1 and unchanged map size, with one matrix product per overlapping tap.

    Sums over taps are accumulated in at least float32. Under autocast, the products use its dtype; the weight gradient
    has the dtype of the weight.

    Args:
        x: (B,C,H,W).
        weight: (D,C,kh,kw), kh and kw odd; fastest in channels_last memory.
        bias: (D,) or None.

    Returns:
        (B,D,H,W) in channels_last memory.
    """
    return _Taps.apply(autocast(x), weight, bias)  # type: ignore[no-any-return]


def taps_met(length: int, taps: int) -> int:
    """Count the pairs of a position and a tap, along one axis, for which the tap reads the map and not padding.

    Example:
        >>> taps_met(7, 7), 7 * 7
        (37, 49)
    """
    return sum(max(0, length - abs(i - taps // 2)) for i in range(taps))


class _Taps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        tokens = x.permute(0, 2, 3, 1)
        own = weight.to(x.dtype).permute(0, 2, 3, 1)  # (D,kh,kw,C)
        ctx.save_for_backward(tokens, own)
        ctx.dtype, ctx.bias_dtype = weight.dtype, None if bias is None else bias.dtype
        batch, height, width, channels = tokens.shape
        result = tokens.new_zeros(batch, height, width, len(weight), dtype=torch.promote_types(x.dtype, torch.float32))
        if bias is not None:
            result += bias
        with torch.autocast(x.device.type, enabled=False):
            for i, j, out, into in _taps(height, width, own.shape[1], own.shape[2]):
                part = tokens[into]
                result[out] += (part.reshape(-1, channels) @ own[:, i, j].t()).view(*part.shape[:3], len(weight))
        return result.to(x.dtype).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        tokens, weight = ctx.saved_tensors
        given = gradient.permute(0, 2, 3, 1).contiguous()
        (_, height, width, channels), features = tokens.shape, len(weight)
        accumulate = torch.promote_types(tokens.dtype, torch.float32)
        of_x = tokens.new_zeros(tokens.shape, dtype=accumulate) if ctx.needs_input_grad[0] else None
        # Zeros, for taps that never overlap the map and are not written below (on maps smaller than half the kernel).
        of_weight = weight.new_zeros(weight.shape, dtype=ctx.dtype) if ctx.needs_input_grad[1] else None
        for i, j, out, into in _taps(height, width, weight.shape[1], weight.shape[2]):
            part = given[out]
            flat = part.reshape(-1, features)
            if of_x is not None:
                of_x[into] += (flat @ weight[:, i, j]).view(*part.shape[:3], channels)
            if of_weight is not None:
                of_weight[:, i, j] = flat.t() @ tokens[into].reshape(-1, channels)
        of_bias = given.sum((0, 1, 2), dtype=ctx.bias_dtype) if ctx.needs_input_grad[2] else None
        return (
            None if of_x is None else of_x.to(tokens.dtype).permute(0, 3, 1, 2),
            None if of_weight is None else of_weight.permute(0, 3, 1, 2),
            of_bias,
        )


def _taps(height: int, width: int, rows: int, columns: int) -> Iterator[tuple[int, int, _Region, _Region]]:
    """Yield each tap that overlaps the map, with the output positions it adds to and the input positions it reads."""
    for i, out_y, in_y in _shifts(height, rows):
        for j, out_x, in_x in _shifts(width, columns):
            yield i, j, (slice(None), out_y, out_x), (slice(None), in_y, in_x)


def _shifts(length: int, taps: int) -> Iterator[tuple[int, slice, slice]]:
    for i in range(taps):
        shift = i - taps // 2
        low, high = max(0, -shift), min(length, length - shift)
        if low < high:
            yield i, slice(low, high), slice(low + shift, high + shift)
