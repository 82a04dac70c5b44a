"""A convolution that keeps the size of its map, computed in the way that is chosen for its shape and device."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mfer_lightning.nn.convolution.choice import LIBRARY, TAPS, Shape, Ways, choose
from mfer_lightning.nn.convolution.context import autocast_dtype, eager_on_cpu, plain
from mfer_lightning.nn.convolution.dense import convolve
from mfer_lightning.nn.convolution.taps import convolve_taps


def conv_within_map(conv: nn.Conv2d, maps: Tensor) -> Tensor:
    """Convolve with those taps of a kernel that can meet a position of the map.

    On a map of H positions a tap more than H - 1 away from the centre only ever meets padding. Leaving such taps out
    changes nothing in the result and saves arithmetic (a 7x7 kernel on a 2x2 map has 9 useful taps of 49). It also
    keeps clear of a defect of oneDNN: its bfloat16 weight gradient of a 7x7 convolution on 2x2 maps reads memory that
    was never written, and is often not finite (torch 2.14.1, CPU; tests/nn/test_attention.py).

    Args:
        conv: a convolution of stride 1 that keeps the size of the map.
        maps: (B,C,H,W).

    Returns:
        What ``conv(maps)`` returns.
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
    """Say how :func:`conv_within_map` would compute this.

    Args:
        conv: a convolution of stride 1 that keeps the size of the map.
        maps: (B,C,H,W).

    Returns:
        The ways; the library's for grouped convolutions, in exported graphs and within ``plain_convolutions``.
    """
    if conv.groups != 1 or plain() or not maps.is_floating_point():
        return LIBRARY
    features, channels, rows, columns = conv.weight.shape
    shape = Shape(channels, features, maps.shape[2], maps.shape[3], rows, columns)
    ways = choose(maps.device.type, autocast_dtype(maps), shape)
    return LIBRARY if ways == TAPS and not eager_on_cpu(maps) else ways
