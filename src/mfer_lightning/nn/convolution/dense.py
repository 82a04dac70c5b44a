"""Dense convolution as a torch operator, with separate implementations for the forward pass and both gradients.

Custom operators are used so that torch.compile does not trace into the steps, because the code that it generates for
them is slower. Autocast applies before the operator; gradient checkpointing and DistributedDataParallel work with it.
Exporters do not support it and use torch's convolution
(:func:`~mfer_lightning.nn.convolution.same_size.conv_within_map`). There is no second derivative; requesting one raises
an error.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mfer_lightning.errors import expect_choice
from mfer_lightning.nn.convolution.choice import Ways
from mfer_lightning.nn.convolution.context import autocast
from mfer_lightning.nn.convolution.unfold import convolve_unfolded, turn, weight_gradient_unfolded


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, ways: Ways) -> Tensor:
    """Compute a dense convolution with stride 1 that keeps the size of the feature map.

    Under autocast, the computation uses its dtype; the weight gradient has the dtype of the weight.

    Args:
        x: (B,C,H,W); fastest in channels_last memory.
        weight: (D,C,kh,kw), kh and kw odd, of any float type.
        bias: (D,) or None.
        ways: see :func:`~mfer_lightning.nn.convolution.choice.choose`; all values except ``taps``.

    Returns:
        (B,D,H,W) in channels_last memory.

    Raises:
        RuntimeError: if a second derivative is taken.
    """
    return _convolve(autocast(x), weight, bias, *ways)  # type: ignore[no-any-return]


def convolve_forward(x: Tensor, weight: Tensor, bias: Tensor | None, way: str) -> Tensor:
    """Convolve with ``library`` or ``unfold``; all tensors of one dtype, not differentiable."""
    if way == "unfold":
        return convolve_unfolded(x, weight, bias)
    expect_choice("way", way, ("library", "unfold"))
    return _channels_last(F.conv2d(_channels_last(x), _channels_last(weight), bias, padding=_padding(weight)))


def input_gradient(gradient: Tensor, weight: Tensor, way: str) -> Tensor:
    """Compute the input gradient with ``library``, ``turned`` or ``unfold``; (B,D,H,W) to (B,C,H,W)."""
    if way == "unfold":
        return convolve_unfolded(gradient, turn(weight), None)
    if way == "turned":
        return convolve_forward(gradient, turn(weight), None, "library")
    expect_choice("way", way, ("library", "turned", "unfold"))
    batch, _, height, width = gradient.shape
    x = _empty(gradient, batch, weight.shape[1], height, width)  # only its shape is used
    return _channels_last(_library(gradient, x, weight, (True, False, False))[0])


def weight_gradient(gradient: Tensor, x: Tensor, rows: int, columns: int, dtype: torch.dtype, way: str) -> Tensor:
    """Compute the weight gradient with ``library`` or ``unfold``; (D,C,rows,columns) of ``dtype``."""
    if way == "unfold":
        return weight_gradient_unfolded(gradient, x, rows, columns, dtype)
    expect_choice("way", way, ("library", "unfold"))
    weight = _empty(x, gradient.shape[1], x.shape[1], rows, columns)  # only its shape is used
    return _channels_last(_library(gradient, x, weight, (False, True, False))[1]).to(dtype)


@torch.library.custom_op(
    "mfer_lightning::convolve",
    mutates_args=(),
    schema="(Tensor x, Tensor weight, Tensor? bias, str forward, str of_input, str of_weight) -> Tensor",
)
def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None, forward: str, of_input: str, of_weight: str) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        return convolve_forward(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype), forward)


@torch.library.custom_op(
    "mfer_lightning::convolve_input_gradient",
    mutates_args=(),
    schema="(Tensor gradient, Tensor weight, str way) -> Tensor",
)
def _input_gradient(gradient: Tensor, weight: Tensor, way: str) -> Tensor:
    with torch.autocast(gradient.device.type, enabled=False):
        return input_gradient(gradient, weight.to(gradient.dtype), way)


@torch.library.custom_op(
    "mfer_lightning::convolve_weight_gradient",
    mutates_args=(),
    schema="(Tensor gradient, Tensor x, SymInt rows, SymInt columns, ScalarType dtype, str way) -> Tensor",
)
def _weight_gradient(gradient: Tensor, x: Tensor, rows: int, columns: int, dtype: torch.dtype, way: str) -> Tensor:
    with torch.autocast(gradient.device.type, enabled=False):
        return weight_gradient(gradient, x, rows, columns, dtype, way)


@_convolve.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor | None, forward: str, of_input: str, of_weight: str) -> Tensor:
    return _empty(x, x.shape[0], weight.shape[0], x.shape[2], x.shape[3])


@_input_gradient.register_fake
def _(gradient: Tensor, weight: Tensor, way: str) -> Tensor:
    return _empty(gradient, gradient.shape[0], weight.shape[1], gradient.shape[2], gradient.shape[3])


@_weight_gradient.register_fake
def _(gradient: Tensor, x: Tensor, rows: int, columns: int, dtype: torch.dtype, way: str) -> Tensor:
    return _empty(x, gradient.shape[1], x.shape[1], rows, columns).to(dtype)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, bias, _, ctx.of_input, ctx.of_weight = inputs
    ctx.bias_dtype = None if bias is None else bias.dtype
    ctx.save_for_backward(x, weight)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    x, weight = ctx.saved_tensors
    of_x = of_weight = of_bias = None
    if ctx.needs_input_grad[0]:
        of_x = _input_gradient(gradient, weight, ctx.of_input)
    if ctx.needs_input_grad[1]:
        of_weight = _weight_gradient(gradient, x, weight.shape[2], weight.shape[3], weight.dtype, ctx.of_weight)
    if ctx.needs_input_grad[2]:
        of_bias = gradient.sum((0, 2, 3), dtype=ctx.bias_dtype)
    return of_x, of_weight, of_bias, None, None, None


def _refuse(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
    raise RuntimeError(
        "mfer_lightning's dense convolution has no second derivative. Compute expressions that are "
        "differentiated twice within `mfer_lightning.nn.convolution.plain_convolutions()`."
    )


_convolve.register_autograd(_backward, setup_context=_keep)
_input_gradient.register_autograd(_refuse)
_weight_gradient.register_autograd(_refuse)


def _library(gradient: Tensor, x: Tensor, weight: Tensor, wanted: tuple[bool, bool, bool]) -> tuple[Tensor, ...]:
    given, maps, kernel = _channels_last(gradient), _channels_last(x), _channels_last(weight)
    padding = _padding(weight)
    return torch.ops.aten.convolution_backward(  # type: ignore[no-any-return]
        given, maps, kernel, None, (1, 1), padding, (1, 1), False, (0, 0), 1, wanted
    )


def _padding(weight: Tensor) -> tuple[int, int]:
    return weight.shape[2] // 2, weight.shape[3] // 2


def _empty(like: Tensor, batch: int, channels: int, height: int, width: int) -> Tensor:
    return like.new_empty(batch, height, width, channels).permute(0, 3, 1, 2)


def _channels_last(x: Tensor) -> Tensor:
    """Convert to (B,H,W,C) memory order, including the strides of size-1 dimensions, like the fake implementations."""
    return x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
