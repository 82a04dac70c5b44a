"""Faster implementations of convolutions that are slow in cuDNN or oneDNN, with the same results.

These implementations are the project's own. They are exact up to the order of summation, with two exceptions:
in 16-bit precision, :mod:`.taps` rounds each tap's product before adding it; and some depthwise convolutions are
computed in float32 instead of bfloat16, which is more accurate. Graph capture for export always uses torch's own
convolution.

- :mod:`.depthwise`: the backward pass of depthwise convolutions in bfloat16 on the CPU.
- :mod:`.taps`: dense convolutions on small feature maps on the CPU, one matrix product per tap.
- :mod:`.unfold`: dense convolutions as one product over an unfolded map; :mod:`.dense` wraps them as a torch operator.
- :mod:`.choice`: selects the implementation by device, dtype and shape.
- :mod:`.same_size`: the entry point for the attention modules.
"""

from mfer_lightning.nn.convolution.choice import Shape, Ways, choose, forced_ways
from mfer_lightning.nn.convolution.context import plain_convolutions
from mfer_lightning.nn.convolution.dense import convolve
from mfer_lightning.nn.convolution.depthwise import (
    DepthwiseConv2d,
    convolve_depthwise,
    depthwise_weight_gradient,
    speed_up_depthwise,
)
from mfer_lightning.nn.convolution.same_size import conv_within_map, ways_for
from mfer_lightning.nn.convolution.taps import convolve_taps

__all__ = [
    "DepthwiseConv2d",
    "Shape",
    "Ways",
    "choose",
    "conv_within_map",
    "convolve",
    "convolve_depthwise",
    "convolve_taps",
    "depthwise_weight_gradient",
    "forced_ways",
    "plain_convolutions",
    "speed_up_depthwise",
    "ways_for",
]
