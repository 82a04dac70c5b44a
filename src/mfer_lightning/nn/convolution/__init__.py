"""Faster ways to compute the convolutions that cuDNN and oneDNN handle badly, with the same results.

Ours; exact up to the order of sums, and torch's own wherever a graph is captured for other programs.

- :mod:`.depthwise`: weight gradients of depthwise convolutions on the CPU.
- :mod:`.taps`: dense convolutions on small maps on the CPU, a product a tap.
- :mod:`.unfold`: dense convolutions as one product over an unfolded map; :mod:`.dense` makes them an operator of torch.
- :mod:`.choice`: which way is taken, by device, dtype and shape.
- :mod:`.same_size`: what the attention modules call.
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
