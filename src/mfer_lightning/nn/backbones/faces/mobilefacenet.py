"""MobileFaceNet, with less than a million parameters.

Paper: Chen, Liu, Gao, Han: MobileFaceNets, CCBR 2018, arXiv 1804.07573 (table 1: inverted residuals with PReLU, a stem
of stride 2, a 7x7 feature map at 112 pixels, then a 7x7 depthwise convolution instead of average pooling). Weights:
https://github.com/TreB1eN/InsightFace_Pytorch (MIT), and InsightFace's ``arcface_torch`` (non-commercial), whose
network is this one with ``scale=2``: the widths between the units are doubled, those inside them are not.
Reimplemented; shapes of the tensors are those of both projects' files, and their names those of InsightFace_Pytorch.
The depthwise convolution over the whole map and the identity embedding (``conv_6_dw``, ``linear``, ``bn``) are not part
of a backbone, which pools feature maps of any size. This project adds drop-path and uses its own initialisation.
Attention after the last stage is inserted before the last 1x1 convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from timm.layers import DropPath
from timm.models import build_model_with_cfg, register_model
from torch import Tensor, nn

from mfer_lightning.nn.backbones.faces.face_network import data_config
from mfer_lightning.nn.backbones.faces.mobile_network import ConvBlock, MobileNetwork

default_cfgs = data_config("mobilefacenet", "conv1.conv", ("conv_6_dw", "linear", "bn"))
_LAST = 512
#: Channels inside the strided and plain units of the three stages, independent of the scale.
_STRIDED_INNER = (128, 256, 512)
_PLAIN_INNER = (128, 256, 256)


class InvertedResidual(nn.Module):
    """1x1 convolution to the inner width, 3x3 depthwise convolution, linear 1x1 convolution.

    Args:
        in_channels: channels of its input.
        channels: channels of its output.
        inner: channels of the depthwise convolution.
        stride: 1 (with a shortcut) or 2 (without).
        drop_path: probability of dropping the residual branch.
    """

    def __init__(self, in_channels: int, channels: int, inner: int, stride: int = 1, drop_path: float = 0.0) -> None:
        super().__init__()
        self.conv = ConvBlock(in_channels, inner, 1)
        self.conv_dw = ConvBlock(inner, inner, 3, stride, groups=inner)
        self.project = ConvBlock(inner, channels, 1, linear=True)
        self.drop_path = DropPath(drop_path)
        self.residual = stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """Map (B,in_channels,H,W) to (B,channels,H/stride,W/stride)."""
        y = self.project(self.conv_dw(self.conv(x)))
        return x + self.drop_path(y) if self.residual else y  # type: ignore[no-any-return]


class MobileFaceNet(MobileNetwork):
    """A stem of stride 2, three stages of one strided and several plain inverted residuals, and a 1x1 convolution.

    Args:
        depths: number of plain inverted residuals in each of the three stages.
        scale: factor for the widths between the units: 1 (the paper's 64 and 128) or 2 (InsightFace's).
        num_classes: width of the identity embedding; 0: none.
        in_chans: channels of the images.
        drop_path_rate: drop-path rate of the last plain unit, increasing linearly from 0 at the first.

    Raises:
        ValueError: if ``depths`` is not three positive integers, or ``scale`` is not a positive integer.
    """

    def __init__(
        self,
        depths: Sequence[int] = (4, 6, 2),
        scale: int = 1,
        num_classes: int = 0,
        in_chans: int = 3,
        drop_path_rate: float = 0.0,
    ) -> None:
        if isinstance(scale, bool) or not isinstance(scale, int) or scale < 1:
            raise ValueError(f"Expected argument `scale` to be a positive integer, but got {scale!r}.")
        super().__init__(
            depths,
            (64 * scale, 128 * scale, 128 * scale, _LAST),
            _unit,
            stem_groups=64,
            num_classes=num_classes,
            in_chans=in_chans,
            drop_path_rate=drop_path_rate,
        )


def _unit(stage: int, in_channels: int, channels: int, stride: int, drop_path: float) -> InvertedResidual:
    inner = (_PLAIN_INNER if stride == 1 else _STRIDED_INNER)[stage]
    return InvertedResidual(in_channels, channels, inner, stride, drop_path)


@register_model  # type: ignore[untyped-decorator]
def mobilefacenet(pretrained: bool = False, **options: Any) -> MobileFaceNet:
    """MobileFaceNet: 1.00 M parameters with an embedding of 128, 0.91 M without an embedding."""
    return build_model_with_cfg(MobileFaceNet, "mobilefacenet", pretrained, **options)  # type: ignore[no-any-return]
