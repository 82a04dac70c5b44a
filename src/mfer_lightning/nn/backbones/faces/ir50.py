"""IR-50 of face.evoLVe and IR-50 of AdaFace; the IR-50 of InsightFace is iResNet-50.

Papers: Deng et al.: ArcFace, CVPR 2019, arXiv 1801.07698 (the residual units); Wang et al.: Face.evoLVe, 2021, arXiv
2107.08621; Kim, Jain, Liu: AdaFace, CVPR 2022, arXiv 2204.00964. Weights: https://github.com/ZhaoJ9014/face.evoLVe
(MIT; RGB in [-1, 1]), which POSTER (Zheng et al., ICCVW 2023) and others start from, and
https://github.com/mk-minchul/AdaFace (MIT; BGR in [-1, 1]). Both differ from iResNet in the shortcut of the first
stage, which takes every second pixel without a convolution. In addition, the residual units of face.evoLVe have no
batch norm between the first convolution and PReLU. Reimplemented; names and shapes of the tensors are those of these
projects' files. The identity embedding (``output_layer.3``, ``output_layer.4``) is not part of a backbone. This project
adds drop-path and uses its own initialisation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from timm.layers import DropPath
from timm.models import build_model_with_cfg, register_model
from torch import Tensor, nn

from mfer_lightning.nn.backbones.faces.face_network import (
    FaceNetwork,
    convolution,
    data_config,
    drop_path_rates,
    initialise,
    stage_widths,
)

_EMBEDDING = ("output_layer.3", "output_layer.4")
_DEPTHS = (3, 4, 14, 3)
_WIDTHS = (64, 128, 256, 512)

default_cfgs = {
    **data_config("ir50_evolve", "input_layer.0", _EMBEDDING),
    **data_config("ir50_adaface", "input_layer.0", _EMBEDDING),
}


class IRBlock(nn.Module):
    """One residual unit: batch norm, 3x3 convolution, (batch norm,) PReLU, strided 3x3 convolution, batch norm.

    Args:
        in_channels: channels of its input.
        channels: channels of its output.
        stride: stride of the second convolution and of the shortcut; 1 or 2.
        inner_norm: whether there is a batch norm before PReLU.
        drop_path: probability of dropping the residual branch.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, inner_norm: bool, drop_path: float) -> None:
        super().__init__()
        self.shortcut_layer: nn.Module = nn.MaxPool2d(1, stride)  # a window of one pixel: subsamples the map
        if in_channels != channels:
            self.shortcut_layer = nn.Sequential(convolution(in_channels, channels, 1, stride), nn.BatchNorm2d(channels))
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            convolution(in_channels, channels, 3),
            *([nn.BatchNorm2d(channels)] if inner_norm else []),
            nn.PReLU(channels),
            convolution(channels, channels, 3, stride),
            nn.BatchNorm2d(channels),
        )
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B,in_channels,H,W) to (B,channels,H/stride,W/stride)."""
        return self.shortcut_layer(x) + self.drop_path(self.res_layer(x))  # type: ignore[no-any-return]


class IR(FaceNetwork):
    """A stem of stride 1, stages of :class:`IRBlock` that each halve height and width, and a final batch norm.

    Args:
        inner_norm: see :class:`IRBlock`.
        embedding_affine: whether the embedding's batch norm has weights.
        depths: blocks of each stage.
        widths: channels of each stage.
        num_classes: width of the identity embedding; 0: none.
        in_chans: channels of the images.
        drop_path_rate: drop-path rate of the last block, increasing linearly from 0 at the first.

    Raises:
        ValueError: for a number of stages other than one to four.
    """

    def __init__(
        self,
        inner_norm: bool,
        embedding_affine: bool,
        depths: Sequence[int] = _DEPTHS,
        widths: Sequence[int] = _WIDTHS,
        num_classes: int = 0,
        in_chans: int = 3,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__(num_classes)
        shape = stage_widths(depths, widths)
        rates = drop_path_rates(drop_path_rate, sum(depths))
        channels = widths[0]
        self.input_layer = nn.Sequential(
            convolution(in_chans, channels, 3), nn.BatchNorm2d(channels), nn.PReLU(channels)
        )
        self.body = nn.Sequential()
        self.feature_info = []
        for number, (depth, width) in enumerate(shape, start=1):
            for block in range(depth):
                self.body.append(IRBlock(channels, width, 1 if block else 2, inner_norm, rates[len(self.body)]))
                channels = width
            last = f"body.{len(self.body) - 1}"
            self.feature_info.append({"num_chs": width, "reduction": 2**number, "module": last})
        self.output_layer = nn.Sequential(nn.BatchNorm2d(channels))
        self.num_features = channels
        if num_classes:  # the second and third positions in the files are dropout and flattening
            self.output_layer.extend([nn.Identity(), nn.Flatten(), nn.Linear(channels * 7 * 7, num_classes)])
            self.output_layer.append(nn.BatchNorm1d(num_classes, affine=embedding_affine))
        initialise(self)

    def stem(self, x: Tensor) -> Tensor:
        """Map images (B,C,H,W) to (B,widths[0],H,W)."""
        return self.input_layer(x)  # type: ignore[no-any-return]

    def stages(self) -> Iterable[nn.Module]:
        """Return the blocks of all stages."""
        return self.body

    def last_map(self, x: Tensor) -> Tensor:
        """Apply the final batch norm to the last feature map."""
        return self.output_layer[0](x)  # type: ignore[no-any-return]

    def embed(self, x: Tensor) -> Tensor:
        """Compute the identity embedding from the last map (B,D,7,7)."""
        return self.output_layer[1:](x)  # type: ignore[no-any-return]

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return the patterns by which timm assigns parameters to layers; ``coarse`` has no effect."""
        return {"stem": r"^input_layer", "blocks": [(r"^body\.(\d+)", None), (r"^output_layer", (99999,))]}


@register_model  # type: ignore[untyped-decorator]
def ir50_evolve(pretrained: bool = False, **options: Any) -> IR:
    """face.evoLVe's IR-50."""
    options = {"inner_norm": False, "embedding_affine": True, **options}
    return build_model_with_cfg(IR, "ir50_evolve", pretrained, **options)  # type: ignore[no-any-return]


@register_model  # type: ignore[untyped-decorator]
def ir50_adaface(pretrained: bool = False, **options: Any) -> IR:
    """AdaFace's IR-50."""
    options = {"inner_norm": True, "embedding_affine": False, **options}
    return build_model_with_cfg(IR, "ir50_adaface", pretrained, **options)  # type: ignore[no-any-return]
