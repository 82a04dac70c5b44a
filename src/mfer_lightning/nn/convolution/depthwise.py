"""Depthwise convolutions with a faster backward pass in bfloat16 on the CPU, where oneDNN is slow.

This is the project's own implementation. oneDNN computes the weight gradient of a depthwise convolution as if each
channel were a 16 by 16 block. A few batched matrix products take a quarter to a half of the time (one core with AVX-512
and bfloat16 products, torch 2.14.1, oneDNN 3.12; ``mfer benchmark parts=[convolutions] device=cpu``).

In oneDNN, the gradients of a depthwise convolution with stride 2 take several times as long in bfloat16 as in float32.
With 5x5 and 7x7 kernels on few channels or small maps, they take about twice as long. In these cases, they are computed
in float32 (``benchmarks/step_precision.py``).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_input

from mfer_lightning.nn.convolution.context import autocast, eager_on_cpu

#: Columns of a feature map per matrix product of the depthwise weight gradient.
_TILE = 14
#: Use matrix products for depthwise weight gradients in bfloat16 with at least this many channels and elements. With
#: fewer, float32 is faster.
_LEAST_DEPTH, _LEAST_ELEMENTS = 64, 2**17


class DepthwiseConv2d(nn.Conv2d):
    """A depthwise convolution with a fast backward pass in bfloat16 on the CPU.

    Created from other layers by :func:`speed_up_depthwise`; names, weights and results match ``nn.Conv2d``.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (B,C,H,W) to (B,C,H',W')."""
        if self.weight.requires_grad and torch.is_grad_enabled() and eager_on_cpu(x):
            x = autocast(x)
            if x.dtype == torch.bfloat16:
                if _keeps_size(self) and x.shape[1] >= _LEAST_DEPTH and x.numel() >= _LEAST_ELEMENTS:
                    return convolve_depthwise(x, self.weight, self.bias)
                with torch.autocast(x.device.type, enabled=False):
                    return super().forward(x.to(self.weight.dtype)).to(x.dtype)
        return super().forward(x)


def speed_up_depthwise(module: nn.Module) -> int:
    """Convert the slow depthwise convolutions of a module to :class:`DepthwiseConv2d`, in place.

    A depthwise convolution counts as slow if its stride is above 1 or its kernel is at least 5x5. Layers with dilation
    or with a padding mode other than ``zeros`` are not converted.

    Args:
        module: any module; its parameters and the names in its state dict do not change.

    Returns:
        The number of converted layers.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(8, 8, 7, padding=3, groups=8), nn.Conv2d(8, 8, 3, padding=1))
        >>> speed_up_depthwise(net), type(net[0]).__name__, type(net[1]).__name__
        (1, 'DepthwiseConv2d', 'Conv2d')
    """
    turned = 0
    for layer in module.modules():
        if type(layer) is nn.Conv2d and _is_slow_depthwise(layer):
            layer.__class__ = DepthwiseConv2d
            turned += 1
    return turned


def convolve_depthwise(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve each channel with its own filter, with :func:`depthwise_weight_gradient` as the weight gradient.

    Args:
        x: (B,C,H,W).
        weight: (C,1,kh,kw), kh and kw odd, of any float type, which is also the type of its gradient.
        bias: (C,) or None.

    Returns:
        (B,C,H,W), of the type of ``x``.
    """
    return _Depthwise.apply(x, weight, bias)  # type: ignore[no-any-return]


def depthwise_weight_gradient(x: Tensor, gradient: Tensor, kernel_size: tuple[int, int]) -> Tensor:
    r"""Compute the weight gradient of a depthwise convolution with stride 1 that keeps the size of the feature map.

    The result is ``sum over b, y, x of gradient[b,c,y,x] * input[b,c,y+i-p,x+j-q]`` for each channel c and tap (i,j),
    where (p,q) is the padding. For each channel and kernel row i, the matrix product of the gradient's columns with the
    shifted input's columns, over all rows (b,y), contains the sums over b and y for every pair of columns; tap j is the
    sum along one of its diagonals.

    Args:
        x: (B,C,H,W), the input.
        gradient: (B,C,H,W), gradient of the output, of the same dtype.
        kernel_size: kh and kw, both odd.

    Returns:
        (C,1,kh,kw), at least float32.

    Example:
        >>> x, g = torch.randn(2, 2, 3, 5, 6, dtype=torch.float64)
        >>> wanted = torch.nn.grad.conv2d_weight(x, (3, 1, 5, 5), g, padding=2, groups=3)
        >>> torch.allclose(depthwise_weight_gradient(x, g, (5, 5)), wanted)
        True
    """
    (batch, channels, height, width), (rows, columns) = x.shape, kernel_size
    pad = columns // 2
    tile = min(_TILE, width)
    tiles = -(-width // tile)
    filled, span, count = tiles * tile, tile + 2 * pad, height * batch * tiles
    # Rows are ordered (y, b, tile), so that a shift by i kernel rows is a slice and needs no copy of the input.
    padded = x.new_zeros(height + rows - 1, batch, filled + 2 * pad, channels)
    padded[rows // 2 : rows // 2 + height, :, pad : pad + width] = x.permute(2, 0, 3, 1)
    strips = padded.unfold(2, span, tile).permute(0, 1, 2, 4, 3).reshape(-1, channels)
    given = gradient.permute(2, 0, 3, 1)
    if filled != width:
        given = F.pad(given, (0, 0, 0, filled - width))
    left = given.reshape(-1, channels).t().contiguous().view(channels, count, tile).transpose(1, 2)
    right = strips.t().contiguous().view(channels, -1, span)
    result = x.new_empty(channels, rows, columns, dtype=torch.promote_types(x.dtype, torch.float32))
    for i in range(rows):
        products = torch.bmm(left, right[:, i * batch * tiles : i * batch * tiles + count])
        diagonals = products.as_strided((channels, tile, columns), (tile * span, span + 1, 1))
        result[:, i] = diagonals.sum(1, dtype=result.dtype)
    return result.unsqueeze(1)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        own = weight.to(x.dtype)
        ctx.save_for_backward(x, own)
        ctx.dtype, ctx.bias_dtype = weight.dtype, None if bias is None else bias.dtype
        padding = (weight.shape[2] // 2, weight.shape[3] // 2)
        with torch.autocast(x.device.type, enabled=False):
            return F.conv2d(x, own, None if bias is None else bias.to(x.dtype), padding=padding, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        size = (weight.shape[2], weight.shape[3])
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            padding = (size[0] // 2, size[1] // 2)
            of_x = conv2d_input(x.shape, weight, gradient, padding=padding, groups=len(weight))
        if ctx.needs_input_grad[1]:
            of_weight = depthwise_weight_gradient(x, gradient, size).to(ctx.dtype)
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum((0, 2, 3), dtype=ctx.bias_dtype)
        return of_x, of_weight, of_bias


def _is_slow_depthwise(layer: nn.Conv2d) -> bool:
    """Whether a layer is depthwise (no dilation, zero padding) with a stride above 1 or a kernel of at least 5x5."""
    return (
        layer.groups == layer.in_channels == layer.out_channels
        and layer.groups > 1
        and layer.dilation == (1, 1)
        and layer.padding_mode == "zeros"
        and (max(layer.stride) > 1 or min(layer.kernel_size) >= 5)
    )


def _keeps_size(layer: nn.Conv2d) -> bool:
    """Whether the map keeps its size: stride 1, an odd kernel, and half of it as padding."""
    kernel = layer.kernel_size
    return (
        layer.stride == (1, 1) and all(k % 2 == 1 for k in kernel) and layer.padding == (kernel[0] // 2, kernel[1] // 2)
    )
