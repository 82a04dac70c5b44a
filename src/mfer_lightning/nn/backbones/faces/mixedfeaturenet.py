"""MixedFeatureNet, the backbone of DDAMFN: MobileFaceNet with mixed kernels and coordinate attention.

Paper: Zhang, Zhang, Wang, Song: A Dual-Direction Attention Mixed Feature Network for Facial Expression Recognition,
Electronics 12(17), 2023, doi 10.3390/electronics12173595: MobileFaceNet's inverted residuals, whose depthwise
convolution has kernels of several sizes on groups of channels (MixConv, Tan and Le, BMVC 2019, arXiv 1907.09595) and is
followed by coordinate attention. Depths, widths and groups as in the authors' public code
(https://github.com/simon20010923/DDAMFN). Written anew; names and shapes of the tensors are those of their files. A
batch norm and a PReLU beside each mixed convolution, which their files hold and their network never calls, are left
out. Ours: drop-path, initialisation, depths and widths as options.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from timm.layers import DropPath
from timm.models import build_model_with_cfg, register_model
from torch import Tensor, nn

from mfer_lightning.nn.backbones.faces.face_network import (
    FaceNetwork,
    convolution,
    data_config,
    drop_path_rates,
    initialise,
)
from mfer_lightning.nn.backbones.faces.mobilefacenet import ConvBlock
from mfer_lightning.nn.coordinate_attention import CoordinateAttention

default_cfgs = data_config("mixedfeaturenet", "conv1.conv", ("conv_6_dw", "linear", "bn"))

_STRIDED = ("conv_23", "conv_34", "conv_45")
_PLAIN = ("conv_3", "conv_4", "conv_5")
_DEPTHS = (9, 16, 6)


class MixedConvolution(nn.Module):
    """Depthwise convolutions of several kernels, each on a group of the channels.

    Args:
        groups: kernel -> its channels.
        stride: of all of them.
    """

    def __init__(self, groups: dict[int, int], stride: int) -> None:
        super().__init__()
        self.widths = list(groups.values())
        self.mixed_depthwise_conv = nn.ModuleList(
            convolution(width, width, kernel, stride, groups=width) for kernel, width in groups.items()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B,C,H,W) to (B,C,H/stride,W/stride)."""
        parts = x.split(self.widths, 1)
        return torch.cat([conv(part) for conv, part in zip(self.mixed_depthwise_conv, parts, strict=True)], 1)


class MixedResidual(nn.Module):
    """1x1 convolution to the inner width, mixed convolution, coordinate attention, linear 1x1 convolution.

    Args:
        in_channels: channels of its input.
        channels: channels of its output.
        groups: kernel -> channels of the mixed convolution; their sum is the inner width.
        stride: 1, with a shortcut, or 2, without.
        drop_path: probability of leaving the residual branch out.
    """

    def __init__(
        self, in_channels: int, channels: int, groups: dict[int, int], stride: int = 1, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        inner = sum(groups.values())
        self.conv = ConvBlock(in_channels, inner, 1)
        self.conv_dw = MixedConvolution(groups, stride)
        self.CA = CoordinateAttention(inner)
        self.project = ConvBlock(inner, channels, 1, linear=True)
        self.drop_path = DropPath(drop_path)
        self.residual = stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """Map (B,in_channels,H,W) to (B,channels,H/stride,W/stride)."""
        y = self.conv_dw(self.conv(x))
        y = self.project(y * self.CA(y))
        return x + self.drop_path(y) if self.residual else y  # type: ignore[no-any-return]


class MixedResiduals(nn.Module):
    """Several mixed residuals of stride 1.

    Args:
        channels: channels of input and output.
        groups: as for :class:`MixedResidual`.
        rates: drop-path of each.
    """

    def __init__(self, channels: int, groups: dict[int, int], rates: Sequence[float]) -> None:
        super().__init__()
        self.model = nn.Sequential(*(MixedResidual(channels, channels, groups, drop_path=rate) for rate in rates))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B,C,H,W) to the same shape."""
        return self.model(x)  # type: ignore[no-any-return]


class MixedFeatureNet(FaceNetwork):
    """A stem of stride 2, three times a strided and several plain mixed residuals, and a 1x1 convolution.

    Args:
        depths: plain mixed residuals of stages 2 to 4.
        width: channels w of the first stages; the others have 2w and 4w, the last map 8w. A multiple of 8.
        num_classes: width of the identity embedding; 0: none.
        in_chans: channels of the images.
        drop_path_rate: drop-path of the last residual, rising linearly from 0 at the first.

    Raises:
        ValueError: for other than three depths, or a width that is no positive multiple of 8.
    """

    def __init__(
        self,
        depths: Sequence[int] = _DEPTHS,
        width: int = 64,
        num_classes: int = 0,
        in_chans: int = 3,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__(num_classes)
        if len(depths) != 3 or min(depths) < 1:
            raise ValueError(f"Expected argument `depths` to be three positive integers, but got {list(depths)}.")
        if isinstance(width, bool) or not isinstance(width, int) or width < 8 or width % 8:
            raise ValueError(f"Expected argument `width` to be a positive multiple of 8, but got {width!r}.")
        self.depths = tuple(depths)
        rates = iter(drop_path_rates(drop_path_rate, sum(depths)))
        third, fourth, fifth = ([next(rates) for _ in range(depth)] for depth in depths)
        w = width
        thirds = 8 * w // 6 * 2  # an even third of the last stage's inner width, the smallest kernel takes the rest
        self.conv1 = ConvBlock(in_chans, w, 3, 2)
        self.conv2_dw = ConvBlock(w, w, 3, groups=w)
        self.conv_23 = MixedResidual(w, w, {3: w, 5: w // 2, 7: w // 2}, 2)
        self.conv_3 = MixedResiduals(w, {3: 3 * w // 2, 5: w // 2}, third)
        self.conv_34 = MixedResidual(w, 2 * w, {3: 2 * w, 5: w, 7: w}, 2)
        self.conv_4 = MixedResiduals(2 * w, {3: 3 * w, 5: w}, fourth)
        self.conv_45 = MixedResidual(2 * w, 4 * w, dict.fromkeys((3, 5, 7, 9), 4 * w), 2)
        self.conv_5 = MixedResiduals(4 * w, {3: 8 * w - 2 * thirds, 5: thirds, 7: thirds}, fifth)
        self.conv_6_sep = ConvBlock(4 * w, 8 * w, 1)
        self.num_features = 8 * w
        self.feature_info = [
            {"num_chs": w, "reduction": 2, "module": "conv2_dw"},
            {"num_chs": w, "reduction": 4, "module": "conv_3"},
            {"num_chs": 2 * w, "reduction": 8, "module": "conv_4"},
            {"num_chs": 4 * w, "reduction": 16, "module": "conv_5"},
        ]
        if num_classes:
            self.conv_6_dw = ConvBlock(8 * w, 8 * w, 7, groups=8 * w, linear=True)
            self.conv_6_dw.conv.padding = (0, 0)  # one position is left
            self.linear = nn.Linear(8 * w, num_classes, bias=False)
            self.bn = nn.BatchNorm1d(num_classes)
        initialise(self)

    def stem(self, x: Tensor) -> Tensor:
        """Map images (B,C,H,W) to (B,width,H/2,W/2)."""
        return self.conv1(x)  # type: ignore[no-any-return]

    def stages(self) -> Iterable[nn.Module]:
        """Return everything between the first and the last convolution."""
        return (self.conv2_dw, self.conv_23, self.conv_3, self.conv_34, self.conv_4, self.conv_45, self.conv_5)

    def last_map(self, x: Tensor) -> Tensor:
        """Widen the last stage's map."""
        return self.conv_6_sep(x)  # type: ignore[no-any-return]

    def embed(self, x: Tensor) -> Tensor:
        """Turn the last map (B,8w,7,7) into the identity embedding."""
        return self.bn(self.linear(self.conv_6_dw(x).flatten(1)))  # type: ignore[no-any-return]

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return timm's patterns of parameter names by layer."""
        units: list[str] = []
        for strided, plain, depth in zip(_STRIDED, _PLAIN, self.depths, strict=True):
            units += [strided, *(plain if coarse else f"{plain}.model.{i}" for i in range(depth))]
        blocks = [(rf"^{re.escape(unit)}\.", (number,)) for number, unit in enumerate(units)]
        return {"stem": r"^conv1|^conv2_dw", "blocks": [*blocks, (r"^conv_6_sep", (99999,))]}


def never_called(depths: Sequence[int] = _DEPTHS) -> tuple[str, ...]:
    """Name the modules that the authors' files hold and their network never calls.

    Example:
        >>> never_called((1, 1, 1))[:3]
        ('conv_23.conv_dw.bn', 'conv_23.conv_dw.prelu', 'conv_3.model.0.conv_dw.bn')
    """
    units: list[str] = []
    for strided, plain, depth in zip(_STRIDED, _PLAIN, depths, strict=True):
        units += [strided, *(f"{plain}.model.{i}" for i in range(depth))]
    return tuple(f"{unit}.conv_dw.{part}" for unit in units for part in ("bn", "prelu"))


@register_model  # type: ignore[untyped-decorator]
def mixedfeaturenet(pretrained: bool = False, **options: Any) -> MixedFeatureNet:
    """MixedFeatureNet: 3.8 M parameters without an embedding."""
    return build_model_with_cfg(MixedFeatureNet, "mixedfeaturenet", pretrained, **options)  # type: ignore[no-any-return]
