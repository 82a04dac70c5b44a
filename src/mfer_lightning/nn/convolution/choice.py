"""Select the implementation of a dense convolution by device, dtype and shape.

The implementations are torch's library call (cuDNN, oneDNN), one product over an unfolded map (:mod:`.unfold`), a
library convolution with the rotated kernel instead of the library's gradient, and one product per tap (:mod:`.taps`).

Measurements behind the rules, all in bfloat16 on one H100 (torch 2.11 for CUDA 13.0; 776 TFLOP/s in an 8192^3 product),
7x7 kernels, batch 128:

- 512 channels on 14x14 maps: cuDNN reaches 512 TFLOP/s in the forward pass, 77 in both passes together.
- 1024 channels on 7x7 maps: cuDNN reaches 29 TFLOP/s in the forward pass, 40 in both passes together. Its kernels there
  (``implicit_convolve_sgemm``, ``wgrad_alg1_engine_NHWC``) use no tensor cores.

The library's own gradients are therefore not used on these shapes, and its forward pass is used only on the first,
where it also computes the input gradient, with the rotated kernel. A first version of the unfolded product, without the
copy optimisations of :mod:`.unfold`, reached 179 and 235 TFLOP/s in the forward pass on the two shapes. The current
implementations have not been measured on a GPU; ``mfer benchmark parts=[convolutions]`` measures them. For the CPU, see
:mod:`.taps`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

import torch

from mfer_lightning.nn.convolution.taps import taps_met

Way = Literal["library", "unfold", "turned", "taps"]


class Ways(NamedTuple):
    """Implementation of each computation. ``turned`` applies to the input gradient only; ``taps`` to all or none."""

    forward: Way
    input_gradient: Way
    weight_gradient: Way


class Shape(NamedTuple):
    """A dense convolution of stride 1 that keeps the size of the map: (B,channels,height,width) to (B,features,...)."""

    channels: int
    features: int
    height: int
    width: int
    rows: int
    columns: int


LIBRARY = Ways("library", "library", "library")
TAPS = Ways("taps", "taps", "taps")
UNFOLD = Ways("unfold", "unfold", "unfold")
TURNED = Ways("library", "turned", "unfold")

#: With fewer input or output channels than this, or fewer taps than this on a GPU, use the library.
_LEAST_CHANNELS, _LEAST_TAPS = 256, 25
#: On the CPU, use one product per tap if at most this share of the multiplications reads the map and not padding.
_MOST_MET = 0.65
#: cuDNN's forward pass is known to be fast with at least this many positions and at most this many channels.
_QUICK_POSITIONS, _QUICK_CHANNELS = 14 * 14, 512

_forced: Ways | None = None


@contextmanager
def forced_ways(ways: Ways) -> Iterator[None]:
    """Use these implementations within the block for every device, dtype and shape, for tests and benchmarks."""
    global _forced
    before, _forced = _forced, ways
    try:
        yield
    finally:
        _forced = before


def choose(device: str, dtype: torch.dtype, shape: Shape) -> Ways:
    """Choose the implementation of a dense convolution.

    Args:
        device: type of the device, e.g. ``"cuda"``.
        dtype: compute dtype (that of autocast if enabled).
        shape: shape of map and kernel. The batch size does not matter.

    Returns:
        The implementations, or those of :func:`forced_ways`.

    Example:
        >>> choose("cuda", torch.bfloat16, Shape(512, 512, 14, 14, 7, 7))
        Ways(forward='library', input_gradient='turned', weight_gradient='unfold')
        >>> choose("cuda", torch.float32, Shape(512, 512, 14, 14, 7, 7)) == LIBRARY
        True
    """
    if _forced is not None:
        return _forced
    if min(shape.channels, shape.features) < _LEAST_CHANNELS:
        return LIBRARY
    if device == "cpu":
        return TAPS if _share_met(shape) <= _MOST_MET else LIBRARY
    if device != "cuda" or dtype not in (torch.float16, torch.bfloat16) or _useful_taps(shape) < _LEAST_TAPS:
        return LIBRARY
    quick = shape.height * shape.width >= _QUICK_POSITIONS and max(shape.channels, shape.features) <= _QUICK_CHANNELS
    return TURNED if quick else UNFOLD


def _useful_taps(shape: Shape) -> int:
    """Count the taps that can overlap the map at some position."""
    return min(shape.rows, 2 * shape.height - 1) * min(shape.columns, 2 * shape.width - 1)


def _share_met(shape: Shape) -> float:
    met = taps_met(shape.height, shape.rows) * taps_met(shape.width, shape.columns)
    return met / max(1, shape.height * shape.width * shape.rows * shape.columns)
