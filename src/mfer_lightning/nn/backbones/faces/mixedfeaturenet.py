"""MixedFeatureNet, the backbone of DDAMFN: MobileFaceNet with mixed kernel sizes and coordinate attention.

Paper: Zhang, Zhang, Zhang, Wang, Song: A Dual-Direction Attention Mixed Feature Network for Facial Expression
Recognition, Electronics 12(17), 2023, doi 10.3390/electronics12173595: MobileFaceNet's inverted residuals, whose
depthwise convolution has kernels of several sizes on groups of channels (MixConv, Tan and Le, BMVC 2019, arXiv
1907.09595) and is followed by coordinate attention. Depths, widths and groups as in the authors' public code
(https://github.com/simon20010923/DDAMFN). Reimplemented; names and shapes of the tensors are those of their files. A
batch norm and a PReLU next to each mixed convolution, which are in their files but never called by their network, are
left out. This project adds drop-path and options for depths and widths, and uses its own initialisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from timm.layers import DropPath
from timm.models import build_model_with_cfg, register_model
from torch import Tensor, nn

from mfer_lightning.nn.backbones.faces.face_network import convolution, data_config
from mfer_lightning.nn.backbones.faces.mobile_network import ConvBlock, MobileNetwork, unit_names
from mfer_lightning.nn.coordinate_attention import CoordinateAttention

default_cfgs = data_config("mixedfeaturenet", "conv1.conv", ("conv_6_dw", "linear", "bn"))

_DEPTHS = (9, 16, 6)
#: Kernel size in a mixed convolution -> number of channels.
Groups = dict[int, int]


class MixedConvolution(nn.Module):
    """Depthwise convolutions with several kernel sizes, each on a group of the channels.

    Args:
        groups: kernel size -> number of channels.
        stride: stride of all convolutions.
    """

    def __init__(self, groups: Groups, stride: int) -> None:
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
        groups: kernel size -> number of channels in the mixed convolution; their sum is the inner width.
        stride: 1 (with a shortcut) or 2 (without).
        drop_path: probability of dropping the residual branch.
    """

    def __init__(
        self, in_channels: int, channels: int, groups: Groups, stride: int = 1, drop_path: float = 0.0
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


class MixedFeatureNet(MobileNetwork):
    """A stem of stride 2, three stages of one strided and several plain mixed residuals, and a 1x1 convolution.

    Args:
        depths: number of plain mixed residuals in each of the three stages.
        width: channels w of the stem and the first stage; the other stages have 2w and 4w, the last feature map 8w. A
            multiple of 8.
        num_classes: width of the identity embedding; 0: none.
        in_chans: channels of the images.
        drop_path_rate: drop-path rate of the last plain unit, increasing linearly from 0 at the first.

    Raises:
        ValueError: if ``depths`` is not three positive integers, or ``width`` is not a positive multiple of 8.
    """

    def __init__(
        self,
        depths: Sequence[int] = _DEPTHS,
        width: int = 64,
        num_classes: int = 0,
        in_chans: int = 3,
        drop_path_rate: float = 0.0,
    ) -> None:
        if isinstance(width, bool) or not isinstance(width, int) or width < 8 or width % 8:
            raise ValueError(f"Expected argument `width` to be a positive multiple of 8, but got {width!r}.")
        super().__init__(
            depths,
            (width, 2 * width, 4 * width, 8 * width),
            partial(_unit, *_kernels(width)),
            stem_groups=width,
            num_classes=num_classes,
            in_chans=in_chans,
            drop_path_rate=drop_path_rate,
        )


def _kernels(w: int) -> tuple[Sequence[Groups], Sequence[Groups]]:
    """Return the kernels and their channels in the strided and plain units of the three stages."""
    # a third of the last stage's inner width, rounded down to an even number; the smallest kernel takes the rest
    thirds = 8 * w // 6 * 2
    strided = {3: w, 5: w // 2, 7: w // 2}, {3: 2 * w, 5: w, 7: w}, dict.fromkeys((3, 5, 7, 9), 4 * w)
    plain = {3: 3 * w // 2, 5: w // 2}, {3: 3 * w, 5: w}, {3: 8 * w - 2 * thirds, 5: thirds, 7: thirds}
    return strided, plain


def _unit(
    strided: Sequence[Groups],
    plain: Sequence[Groups],
    stage: int,
    in_channels: int,
    channels: int,
    stride: int,
    drop_path: float,
) -> MixedResidual:
    return MixedResidual(in_channels, channels, (plain if stride == 1 else strided)[stage], stride, drop_path)


def never_called(depths: Sequence[int] = _DEPTHS) -> tuple[str, ...]:
    """List the modules in the authors' files that their network never calls.

    Example:
        >>> never_called((1, 1, 1))[:3]
        ('conv_23.conv_dw.bn', 'conv_23.conv_dw.prelu', 'conv_3.model.0.conv_dw.bn')
    """
    return tuple(f"{unit}.conv_dw.{part}" for unit in unit_names(depths) for part in ("bn", "prelu"))


@register_model  # type: ignore[untyped-decorator]
def mixedfeaturenet(pretrained: bool = False, **options: Any) -> MixedFeatureNet:
    """MixedFeatureNet: 4.0 M parameters without an embedding."""
    return build_model_with_cfg(MixedFeatureNet, "mixedfeaturenet", pretrained, **options)  # type: ignore[no-any-return]
