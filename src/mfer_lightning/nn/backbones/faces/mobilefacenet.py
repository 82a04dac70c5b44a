"""MobileFaceNet, with less than a million parameters.

Paper: Chen, Liu, Gao, Han: MobileFaceNets, CCBR 2018, arXiv 1804.07573 (table 1: inverted residuals with PReLU, a stem
of stride 2, a 7x7 map at 112 pixels, then a 7x7 depthwise convolution instead of average pooling). Weights:
https://github.com/TreB1eN/InsightFace_Pytorch (MIT), whose names the tensors have here, and InsightFace's
``arcface_torch`` (non-commercial), whose network is the same with ``scale=2``: twice the widths between the units, the
same inside them. Written anew; names and shapes of the tensors are those of these projects' files. The depthwise
convolution over the whole map and the identity embedding (``conv_6_dw``, ``linear``, ``bn``) are no part of a backbone,
which pools any size. Ours: drop-path, initialisation, attention in front of the last 1x1 convolution.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from timm.layers import DropPath
from timm.models import build_model_with_cfg, register_model
from torch import Tensor, nn

from mfer_lightning.nn.backbones.faces.face_network import (
    FaceNetwork,
    are_counts,
    convolution,
    data_config,
    drop_path_rates,
    initialise,
)

default_cfgs = data_config("mobilefacenet", "conv1.conv", ("conv_6_dw", "linear", "bn"))
_LAST = 512


class ConvBlock(nn.Module):
    """Convolution, batch norm and, unless it is linear, PReLU.

    Args:
        in_channels: channels of its input.
        channels: channels of its output.
        kernel: side of the kernel.
        stride: stride of the convolution.
        groups: groups of the convolution.
        linear: leave PReLU out.
    """

    def __init__(
        self, in_channels: int, channels: int, kernel: int, stride: int = 1, groups: int = 1, linear: bool = False
    ) -> None:
        super().__init__()
        self.conv = convolution(in_channels, channels, kernel, stride, groups)
        self.bn = nn.BatchNorm2d(channels)
        self.prelu = nn.Identity() if linear else nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B,in_channels,H,W) to (B,channels,H/stride,W/stride)."""
        return self.prelu(self.bn(self.conv(x)))  # type: ignore[no-any-return]


class InvertedResidual(nn.Module):
    """1x1 convolution to the inner width, 3x3 depthwise convolution, linear 1x1 convolution.

    Args:
        in_channels: channels of its input.
        channels: channels of its output.
        inner: channels of the depthwise convolution.
        stride: 1, with a shortcut, or 2, without.
        drop_path: probability of leaving the residual branch out.
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


class Residuals(nn.Module):
    """Several inverted residuals of stride 1.

    Args:
        channels: channels of input and output.
        inner: channels inside each.
        rates: drop-path of each.
    """

    def __init__(self, channels: int, inner: int, rates: Sequence[float]) -> None:
        super().__init__()
        self.model = nn.Sequential(*(InvertedResidual(channels, channels, inner, drop_path=rate) for rate in rates))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B,C,H,W) to the same shape."""
        return self.model(x)  # type: ignore[no-any-return]


class MobileFaceNet(FaceNetwork):
    """A stem of stride 2, three times a strided and several plain inverted residuals, and a 1x1 convolution.

    Args:
        depths: plain inverted residuals of stages 2 to 4.
        scale: widths between the units: 1 (the paper's 64 and 128) or 2 (InsightFace's).
        num_classes: width of the identity embedding; 0: none.
        in_chans: channels of the images.
        drop_path_rate: drop-path of the last residual, rising linearly from 0 at the first.

    Raises:
        ValueError: for other than three depths, or a scale that is no positive integer.
    """

    def __init__(
        self,
        depths: Sequence[int] = (4, 6, 2),
        scale: int = 1,
        num_classes: int = 0,
        in_chans: int = 3,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__(num_classes)
        if not are_counts(depths) or len(depths) != 3:
            raise ValueError(f"Expected argument `depths` to be three positive integers, but got {depths}.")
        if isinstance(scale, bool) or not isinstance(scale, int) or scale < 1:
            raise ValueError(f"Expected argument `scale` to be a positive integer, but got {scale!r}.")
        self.depths = tuple(depths)
        narrow, wide = 64 * scale, 128 * scale
        rates = iter(drop_path_rates(drop_path_rate, sum(depths)))
        third, fourth, fifth = ([next(rates) for _ in range(depth)] for depth in depths)
        self.conv1 = ConvBlock(in_chans, narrow, 3, 2)
        self.conv2_dw = ConvBlock(narrow, narrow, 3, groups=64)
        self.conv_23 = InvertedResidual(narrow, narrow, 128, 2)
        self.conv_3 = Residuals(narrow, 128, third)
        self.conv_34 = InvertedResidual(narrow, wide, 256, 2)
        self.conv_4 = Residuals(wide, 256, fourth)
        self.conv_45 = InvertedResidual(wide, wide, 512, 2)
        self.conv_5 = Residuals(wide, 256, fifth)
        self.conv_6_sep = ConvBlock(wide, _LAST, 1)
        self.num_features = _LAST
        self.feature_info = [
            {"num_chs": narrow, "reduction": 2, "module": "conv2_dw"},
            {"num_chs": narrow, "reduction": 4, "module": "conv_3"},
            {"num_chs": wide, "reduction": 8, "module": "conv_4"},
            {"num_chs": wide, "reduction": 16, "module": "conv_5"},
        ]
        if num_classes:
            self.conv_6_dw = ConvBlock(_LAST, _LAST, 7, groups=_LAST, linear=True)
            self.conv_6_dw.conv.padding = (0, 0)  # one position is left
            self.linear = nn.Linear(_LAST, num_classes, bias=False)
            self.bn = nn.BatchNorm1d(num_classes)
        initialise(self)

    def stem(self, x: Tensor) -> Tensor:
        """Map images (B,C,H,W) to (B,64 scale,H/2,W/2)."""
        return self.conv1(x)  # type: ignore[no-any-return]

    def stages(self) -> Iterable[nn.Module]:
        """Return everything between the first and the last convolution."""
        return (self.conv2_dw, self.conv_23, self.conv_3, self.conv_34, self.conv_4, self.conv_45, self.conv_5)

    def last_map(self, x: Tensor) -> Tensor:
        """Widen the last stage's map to 512 channels."""
        return self.conv_6_sep(x)  # type: ignore[no-any-return]

    def embed(self, x: Tensor) -> Tensor:
        """Turn the last map (B,512,7,7) into the identity embedding."""
        return self.bn(self.linear(self.conv_6_dw(x).flatten(1)))  # type: ignore[no-any-return]

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return timm's patterns of parameter names by layer."""
        units: list[str] = []
        for strided, plain, depth in zip(("conv_23", "conv_34", "conv_45"), ("3", "4", "5"), self.depths, strict=True):
            units += [strided, *(f"conv_{plain}" if coarse else f"conv_{plain}.model.{i}" for i in range(depth))]
        blocks = [(rf"^{re.escape(unit)}\.", (number,)) for number, unit in enumerate(units)]
        return {"stem": r"^conv1|^conv2_dw", "blocks": [*blocks, (r"^conv_6_sep", (99999,))]}


@register_model  # type: ignore[untyped-decorator]
def mobilefacenet(pretrained: bool = False, **options: Any) -> MobileFaceNet:
    """MobileFaceNet: 0.99 M parameters with an embedding of 128."""
    return build_model_with_cfg(MobileFaceNet, "mobilefacenet", pretrained, **options)  # type: ignore[no-any-return]
