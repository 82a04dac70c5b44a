"""Shared parts of MobileFaceNet and MixedFeatureNet: stem, three stages, last feature map, and identity embedding.

Paper: Chen, Liu, Gao, Han: MobileFaceNets, CCBR 2018, arXiv 1804.07573, table 1. The names of the modules are those of
https://github.com/TreB1eN/InsightFace_Pytorch (MIT) and https://github.com/simon20010923/DDAMFN. The depthwise
convolution over the whole map and the identity embedding (``conv_6_dw``, ``linear``, ``bn``) are not part of a
backbone, which pools feature maps of any size.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import Tensor, nn

from mfer_lightning.nn.backbones.faces.face_network import (
    FaceNetwork,
    are_counts,
    convolution,
    drop_path_rates,
    initialise,
)

#: Builds a residual unit of a stage (0 to 2) from input channels, output channels, stride and drop-path rate.
MakeUnit = Callable[[int, int, int, int, float], nn.Module]
#: Strided unit and container of the plain units of each stage.
_STAGES = (("conv_23", "conv_3"), ("conv_34", "conv_4"), ("conv_45", "conv_5"))
#: timm's number for everything after the last block, independent of the number of blocks.
_AFTER_BLOCKS = 99999


class ConvBlock(nn.Module):
    """Convolution, batch norm and, unless it is linear, PReLU.

    Args:
        in_channels: channels of its input.
        channels: channels of its output.
        kernel: side of the kernel.
        stride: stride of the convolution.
        groups: groups of the convolution.
        linear: leave out PReLU.
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


class Residuals(nn.Module):
    """Several residual units of stride 1.

    Args:
        units: the units, in order.
    """

    def __init__(self, units: Iterable[nn.Module]) -> None:
        super().__init__()
        self.model = nn.Sequential(*units)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B,C,H,W) to the same shape."""
        return self.model(x)  # type: ignore[no-any-return]


class MobileNetwork(FaceNetwork):
    """A stem of stride 2, three stages of one strided and several plain residual units, and a 1x1 convolution.

    Args:
        depths: number of plain residual units in each of the three stages.
        widths: channels of the stem and the first stage, of the second stage, of the third stage, and of the last map.
        unit: builds the residual units.
        stem_groups: groups of the stem's second convolution.
        num_classes: width of the identity embedding; 0: none.
        in_chans: channels of the images.
        drop_path_rate: drop-path rate of the last plain unit, increasing linearly from 0 at the first.

    Raises:
        ValueError: if ``depths`` is not three positive integers.
    """

    def __init__(
        self,
        depths: Sequence[int],
        widths: tuple[int, int, int, int],
        unit: MakeUnit,
        *,
        stem_groups: int,
        num_classes: int,
        in_chans: int,
        drop_path_rate: float,
    ) -> None:
        super().__init__(num_classes)
        if not are_counts(depths) or len(depths) != 3:
            raise ValueError(f"Expected argument `depths` to be three positive integers, but got {depths!r}.")
        self.depths = tuple(depths)
        before, *_, last = widths
        self.conv1 = ConvBlock(in_chans, before, 3, 2)
        self.conv2_dw = ConvBlock(before, before, 3, groups=stem_groups)
        self.feature_info = [{"num_chs": before, "reduction": 2, "module": "conv2_dw"}]
        rates = iter(drop_path_rates(drop_path_rate, sum(depths)))
        for stage, (depth, width, (strided, plain)) in enumerate(zip(depths, widths[:3], _STAGES, strict=True)):
            setattr(self, strided, unit(stage, before, width, 2, 0.0))
            setattr(self, plain, Residuals([unit(stage, width, width, 1, next(rates)) for _ in range(depth)]))
            self.feature_info.append({"num_chs": width, "reduction": 4 * 2**stage, "module": plain})
            before = width
        self.conv_6_sep = ConvBlock(before, last, 1)
        self.num_features = last
        if num_classes:
            self.conv_6_dw = ConvBlock(last, last, 7, groups=last, linear=True)
            self.conv_6_dw.conv.padding = (0, 0)  # one position remains
            self.linear = nn.Linear(last, num_classes, bias=False)
            self.bn = nn.BatchNorm1d(num_classes)
        initialise(self)

    def stem(self, x: Tensor) -> Tensor:
        """Map images (B,C,H,W) to (B,widths[0],H/2,W/2)."""
        return self.conv1(x)  # type: ignore[no-any-return]

    def stages(self) -> Iterable[nn.Module]:
        """Return everything between the first and the last convolution."""
        return (self.conv2_dw, *(getattr(self, name) for names in _STAGES for name in names))

    def last_map(self, x: Tensor) -> Tensor:
        """Widen the last stage's feature map to ``num_features`` channels."""
        return self.conv_6_sep(x)  # type: ignore[no-any-return]

    def embed(self, x: Tensor) -> Tensor:
        """Compute the identity embedding from the last map (B,num_features,7,7)."""
        return self.bn(self.linear(self.conv_6_dw(x).flatten(1)))  # type: ignore[no-any-return]

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return the regular expressions by which timm assigns parameters to layers."""
        blocks = [(rf"^{re.escape(name)}\.", (number,)) for number, name in enumerate(unit_names(self.depths, coarse))]
        return {"stem": r"^conv1|^conv2_dw", "blocks": [*blocks, (r"^conv_6_sep", (_AFTER_BLOCKS,))]}


def unit_names(depths: Sequence[int], coarse: bool = False) -> list[str]:
    """Name the residual units in order.

    Args:
        depths: plain residual units of each stage.
        coarse: use the name of the container for each plain unit in it.

    Example:
        >>> unit_names((2, 1, 1))[:4]
        ['conv_23', 'conv_3.model.0', 'conv_3.model.1', 'conv_34']
    """
    names: list[str] = []
    for (strided, plain), depth in zip(_STAGES, depths, strict=True):
        names += [strided, *(plain if coarse else f"{plain}.model.{i}" for i in range(depth))]
    return names
