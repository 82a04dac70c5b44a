"""Convolution that keeps the size of its feature map, with the implementation chosen for its shape and device."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mfer_lightning.nn.convolution.choice import LIBRARY, TAPS, Shape, Ways, choose
from mfer_lightning.nn.convolution.context import autocast_dtype, eager_on_cpu, plain
from mfer_lightning.nn.convolution.dense import convolve
from mfer_lightning.nn.convolution.taps import convolve_taps


def conv_within_map(conv: nn.Conv2d, maps: Tensor) -> Tensor:
    """Convolve with only those taps of a kernel that can overlap the feature map.

    On a map of H positions, a tap more than H - 1 away from the centre only ever reads padding. Leaving out such taps
    does not change the result and saves computation (a 7x7 kernel on a 2x2 map has 9 useful taps of 49). It also avoids
    a bug in oneDNN: its bfloat16 weight gradient of a 7x7 convolution on 2x2 maps reads uninitialised memory and is
    often not finite (torch 2.14.1, CPU; tests/nn/test_attention.py).

    Args:
        conv: a convolution with stride 1 that keeps the size of the map.
        maps: (B,C,H,W).

    Returns:
        Same as ``conv(maps)``.
    """
    ways = ways_for(conv, maps)
    if ways == TAPS:
        return convolve_taps(maps, conv.weight, conv.bias)
    half_y, half_x = conv.kernel_size[0] // 2, conv.kernel_size[1] // 2
    rows, columns = min(half_y, maps.shape[2] - 1), min(half_x, maps.shape[3] - 1)
    whole = rows == half_y and columns == half_x
    if whole and ways == LIBRARY:
        return conv(maps)  # type: ignore[no-any-return]
    weight = conv.weight
    if not whole:
        weight = weight[:, :, half_y - rows : half_y + rows + 1, half_x - columns : half_x + columns + 1]
    if ways == LIBRARY:
        return F.conv2d(maps, weight, conv.bias, padding=(rows, columns), groups=conv.groups)
    return convolve(maps, weight, conv.bias, ways)


def ways_for(conv: nn.Conv2d, maps: Tensor) -> Ways:
    """Return the implementations that :func:`conv_within_map` would use.

    Args:
        conv: a convolution with stride 1 that keeps the size of the map.
        maps: (B,C,H,W).

    Returns:
        The implementations; the library's for grouped convolutions, in exported graphs and within
        ``plain_convolutions``.
    """
    if conv.groups != 1 or plain() or not maps.is_floating_point():
        return LIBRARY
    features, channels, rows, columns = conv.weight.shape
    shape = Shape(channels, features, maps.shape[2], maps.shape[3], rows, columns)
    ways = choose(maps.device.type, autocast_dtype(maps), shape)
    return LIBRARY if ways == TAPS and not eager_on_cpu(maps) else ways
