"""Dense convolutions as one matrix product over an unfolded feature map.

This is the project's own implementation of the ``im2col`` method. A row of the unfolded matrix contains what one output
position reads: kh*kw*C values. Maps are padded once in channels-last memory, where the rows are a strided view of the
padded map and kw*C adjacent values are copied as one block. Products of float16 and bfloat16 accumulate in float32, as
torch does by default.

The unfolded matrix is kh*kw times as large as the map: 2.5 GB for 256 maps of 512x14x14 and a 7x7 kernel in bfloat16.
It is built for parts of the batch, in one buffer of at most :data:`LARGEST_BYTES`, and is not kept for the backward
pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

#: Size of the buffer for unfolded maps, in bytes (a single map may need more). With 1 GiB, products for 256 maps of
#: MFER-Base in bfloat16 have more than 6000 rows, enough to keep a large GPU busy.
LARGEST_BYTES = 2**30


def convolve_unfolded(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve with stride 1 and unchanged map size.

    Args:
        x: (B,C,H,W); fastest in channels_last memory.
        weight: (D,C,kh,kw), kh and kw odd, of the dtype of ``x``; fastest in channels_last memory.
        bias: (D,) of the same dtype, or None.

    Returns:
        (B,D,H,W) in channels_last memory. Not differentiable.
    """
    (batch, _, height, width), (features, _, rows, columns) = x.shape, weight.shape
    kernel = weight.permute(0, 2, 3, 1).reshape(features, -1).t()  # (kh*kw*C,D)
    result = _allocate(x, batch, height, width, features)
    flat = result.view(batch * height * width, features)
    for part, unfolded in _unfolded(x, rows, columns):
        if bias is None:
            torch.mm(unfolded, kernel, out=flat[part])
        else:
            torch.addmm(bias, unfolded, kernel, out=flat[part])
    return result.permute(0, 3, 1, 2)


def weight_gradient_unfolded(gradient: Tensor, x: Tensor, rows: int, columns: int, dtype: torch.dtype) -> Tensor:
    """Compute the weight gradient of a convolution with stride 1 that keeps the size of the map.

    Args:
        gradient: (B,D,H,W), gradient of the output.
        x: (B,C,H,W), the input, of the same dtype.
        rows: kh, odd.
        columns: kw, odd.
        dtype: dtype of the result. Parts of the batch are summed in at least float32.

    Returns:
        (D,C,kh,kw) in channels_last memory.

    Example:
        >>> x, g = torch.randn(2, 2, 3, 5, 6, dtype=torch.float64)
        >>> wanted = torch.nn.grad.conv2d_weight(x, (3, 3, 5, 5), g, padding=2)
        >>> torch.allclose(weight_gradient_unfolded(g, x, 5, 5, torch.float64), wanted)
        True
    """
    (batch, features, height, width), channels = gradient.shape, x.shape[1]
    given = gradient.permute(0, 2, 3, 1).reshape(batch * height * width, features)
    total: Tensor | None = None
    for part, unfolded in _unfolded(x, rows, columns):
        product = given[part].t() @ unfolded  # (D,kh*kw*C)
        total = product if total is None else total.to(torch.promote_types(x.dtype, torch.float32)).add_(product)
    if total is None:  # empty batch
        total = x.new_zeros(features, rows * columns * channels)
    return total.to(dtype).view(features, rows, columns, channels).permute(0, 3, 1, 2)


def turn(weight: Tensor) -> Tensor:
    """Rotate a kernel by 180 degrees and swap its channels, so that convolving with it computes the input gradient.

    Args:
        weight: (D,C,kh,kw), kh and kw odd.

    Returns:
        (C,D,kh,kw) in channels_last memory.
    """
    return weight.permute(1, 2, 3, 0).flip(1, 2).contiguous().permute(0, 3, 1, 2)


def _unfolded(x: Tensor, rows: int, columns: int) -> Iterator[tuple[slice, Tensor]]:
    """Yield parts of the unfolded matrix (B*H*W,kh*kw*C), all in the same buffer, with the rows that they cover."""
    batch, channels, height, width = x.shape
    length, positions = rows * columns * channels, height * width
    if batch * length * positions == 0:
        return
    step = max(1, LARGEST_BYTES // (positions * length * x.element_size()))
    step = -(-batch // -(-batch // step))  # same number of parts, of about equal size
    padded = x.new_zeros(batch, height + rows - 1, width + columns - 1, channels)
    padded[:, rows // 2 : rows // 2 + height, columns // 2 : columns // 2 + width] = x.permute(0, 2, 3, 1)
    buffer = _allocate(x, step * positions, length)
    # (B,H,W,kh,kw,C), a view of the padded maps; copied as 8-byte words, which needs fewer address computations.
    windows = _words(padded).unfold(1, rows, 1).unfold(2, columns, 1).permute(0, 1, 2, 4, 5, 3)
    words = _words(buffer)
    for start in range(0, batch, step):
        window = windows[start : start + step]
        number = len(window) * positions
        words[:number].view(window.shape).copy_(window)
        yield slice(start * positions, start * positions + number), buffer[:number]


def _allocate(like: Tensor, *shape: int) -> Tensor:
    """Allocate memory that will be written completely before it is read.

    With deterministic algorithms (``trainer.deterministic``), torch would otherwise fill the memory first, up to a
    gigabyte for each call.
    """
    settings: Any = torch.utils.deterministic
    before = settings.fill_uninitialized_memory
    settings.fill_uninitialized_memory = False
    try:
        return like.new_empty(shape)
    finally:
        settings.fill_uninitialized_memory = before


def _words(x: Tensor) -> Tensor:
    """View contiguous memory as 8-byte integers, if the last dimension allows it."""
    size = x.element_size()
    return x.view(torch.int64) if size < 8 and x.shape[-1] * size % 8 == 0 else x
