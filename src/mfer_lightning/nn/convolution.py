"""Convolutions whose gradients, or small maps, oneDNN handles badly on the CPU: the same results, sooner.

Ours. Measured on one core with AVX-512 and bfloat16 products (torch 2.14.1, oneDNN 3.12; `benchmarks/convolutions.py`):

- The weight gradient of a depthwise convolution runs in oneDNN as if each channel were a block of 16 by 16. Written as
  a few batched matrix products it takes a quarter to a half of the time (:func:`depthwise_weight_gradient`).
- A dense 7x7 kernel on a 7x7 map meets padding with 43% of its taps. One matrix product a tap, over those positions
  alone where the tap meets the map, leaves them out (:func:`convolve_taps`).

Everything here is exact up to the order of sums. On other devices, and where a graph is captured (torch.compile, ONNX),
torch's own convolution is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_input

#: Columns of a map that one matrix product of the depthwise weight gradient takes together.
_TILE = 14
#: Taps are taken one by one where at most this share of them meets the map, and the channels are at least this many.
_MOST_TAPS, _LEAST_CHANNELS = 0.65, 256
#: Depthwise weight gradients are taken by matrix products in bfloat16, from this many channels and elements on: below,
#: and in float32, there was nothing to gain.
_LEAST_DEPTH, _LEAST_ELEMENTS = 64, 2**17

_plain = False


@contextmanager
def plain_convolutions() -> Iterator[None]:
    """Within the block, only torch's own convolutions are used: to count arithmetic, or to compare."""
    global _plain
    before, _plain = _plain, True
    try:
        yield
    finally:
        _plain = before


class DepthwiseConv2d(nn.Conv2d):
    """A depthwise convolution of stride 1 that keeps the size of the map, with a quick weight gradient on the CPU.

    Made from timm's layers by :func:`speed_up_depthwise`; names, weights and results are those of ``nn.Conv2d``.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (B,C,H,W) to (B,C,H,W)."""
        if self.weight.requires_grad and torch.is_grad_enabled() and _special(x):
            x = _autocast(x)
            if x.dtype == torch.bfloat16 and x.shape[1] >= _LEAST_DEPTH and x.numel() >= _LEAST_ELEMENTS:
                return depthwise(x, self.weight, self.bias)
        return super().forward(x)


def speed_up_depthwise(module: nn.Module) -> int:
    """Turn the depthwise convolutions within a module into :class:`DepthwiseConv2d`, in place.

    Args:
        module: any; its parameters and the names in its state dict stay what they are.

    Returns:
        How many were turned.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(8, 8, 7, padding=3, groups=8), nn.Conv2d(8, 8, 3, padding=1))
        >>> speed_up_depthwise(net), type(net[0]).__name__, type(net[1]).__name__
        (1, 'DepthwiseConv2d', 'Conv2d')
    """
    turned = 0
    for layer in module.modules():
        if type(layer) is nn.Conv2d and _is_plain_depthwise(layer):
            layer.__class__ = DepthwiseConv2d
            turned += 1
    return turned


def depthwise(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve each channel with its own filter; the weight's gradient is :func:`depthwise_weight_gradient`.

    Args:
        x: (B,C,H,W).
        weight: (C,1,kh,kw), kh and kw odd, of any float type: its gradient comes out in it.
        bias: (C,) or None.

    Returns:
        (B,C,H,W), of the type of ``x``.
    """
    return _Depthwise.apply(x, weight, bias)  # type: ignore[no-any-return]


def depthwise_weight_gradient(x: Tensor, gradient: Tensor, kernel_size: tuple[int, int]) -> Tensor:
    r"""Weight gradient of a depthwise convolution of stride 1 that keeps the size of the map.

    Wanted is ``sum over b, y, x of gradient[b,c,y,x] * input[b,c,y+i-p,x+j-q]`` for each channel c and tap (i,j). Per
    channel and kernel row i the matrix product of the gradient's columns with the shifted input's columns, over all
    rows (b,y), holds the sums over b and y for every pair of columns; tap j is the sum along one of its diagonals.

    Args:
        x: (B,C,H,W), the input.
        gradient: (B,C,H,W), of the output; of the same dtype.
        kernel_size: both odd.

    Returns:
        (C,1,kh,kw), float32 at least.

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
    # Rows (y, b, tile) lie so that a shift of i kernel rows is a slice, which needs no copy of the input a shift.
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


def taps_pay(conv: nn.Conv2d, maps: Tensor) -> bool:
    """Whether :func:`convolve_taps` is the quicker way to convolve these maps."""
    if not _special(maps) or conv.groups != 1 or min(conv.weight.shape[:2]) < _LEAST_CHANNELS:
        return False
    height, width = maps.shape[2:]
    met = _meetings(height, conv.kernel_size[0]) * _meetings(width, conv.kernel_size[1])
    return met <= _MOST_TAPS * height * width * conv.kernel_size[0] * conv.kernel_size[1]


def convolve_taps(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve densely, with stride 1 and the size of the map kept, by one matrix product a tap that meets the map.

    Sums are in float32 at least. Under autocast the products are in its dtype, and the weight's gradient comes out in
    the weight's own.

    Args:
        x: (B,C,H,W).
        weight: (D,C,kh,kw), kh and kw odd; quickest in channels_last memory.
        bias: (D,) or None.

    Returns:
        (B,D,H,W) in channels_last memory.
    """
    return _Taps.apply(_autocast(x), weight, bias)  # type: ignore[no-any-return]


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
                result[out] += (part.reshape(-1, channels) @ own[:, i, j].t()).view(*part.shape[:3], -1)
        return result.to(x.dtype).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        tokens, weight = ctx.saved_tensors
        given = gradient.permute(0, 2, 3, 1).contiguous()
        (_, height, width, channels), features = tokens.shape, len(weight)
        accumulate = torch.promote_types(tokens.dtype, torch.float32)
        of_x = tokens.new_zeros(tokens.shape, dtype=accumulate) if ctx.needs_input_grad[0] else None
        # Every tap of a map that is no smaller than half the kernel is written below; the others have no gradient.
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


_Region = tuple[slice, slice, slice]


def _taps(height: int, width: int, rows: int, columns: int) -> Iterator[tuple[int, int, _Region, _Region]]:
    """Yield each tap that meets the map, the positions whose output it enters, and the positions it reads there."""
    for i, out_y, in_y in _shifts(height, rows):
        for j, out_x, in_x in _shifts(width, columns):
            yield i, j, (slice(None), out_y, out_x), (slice(None), in_y, in_x)


def _shifts(length: int, taps: int) -> Iterator[tuple[int, slice, slice]]:
    for i in range(taps):
        shift = i - taps // 2
        low, high = max(0, -shift), min(length, length - shift)
        if low < high:
            yield i, slice(low, high), slice(low + shift, high + shift)


def _meetings(length: int, taps: int) -> int:
    return sum(max(0, length - abs(i - taps // 2)) for i in range(taps))


def _special(x: Tensor) -> bool:
    """Whether the ways of this file apply: eager work on the CPU."""
    if _plain or x.device.type != "cpu" or not x.is_floating_point():
        return False
    return not (torch.compiler.is_compiling() or torch._C._get_tracing_state() or torch.onnx.is_in_onnx_export())


def _autocast(x: Tensor) -> Tensor:
    device = x.device.type
    return (
        x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) and x.dtype != torch.float64 else x
    )


def _is_plain_depthwise(layer: nn.Conv2d) -> bool:
    """Depthwise with one filter a channel, stride 1, no dilation, zero padding that keeps the size, 5x5 or more."""
    kernel = layer.kernel_size
    return (
        layer.groups == layer.in_channels == layer.out_channels
        and layer.groups > 1
        and layer.stride == (1, 1)
        and layer.dilation == (1, 1)
        and layer.padding_mode == "zeros"
        and layer.padding == (kernel[0] // 2, kernel[1] // 2)
        and min(kernel) >= 5
        and all(k % 2 == 1 for k in kernel)
    )
