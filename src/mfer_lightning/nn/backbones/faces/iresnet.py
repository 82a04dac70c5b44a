"""iResNet-50 and -100, the ResNets of ArcFace, with the layout of InsightFace's PyTorch code.

Paper: Deng, Guo, Xue, Zafeiriou: ArcFace, CVPR 2019, arXiv 1801.07698 ("improved" residual units of batch norm,
convolution, batch norm, PReLU, convolution, batch norm; a first convolution of stride 1, so that a 112x112 image gives
a 7x7 feature map). Weights: https://github.com/deepinsight/insightface, ``recognition/arcface_torch`` (code MIT,
weights for non-commercial research only), trained on RGB in [-1, 1]. Reimplemented; names and shapes of the tensors are
those of that project's files. Its identity embedding (``fc``, ``features``) is not part of a backbone. This project
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

_EMBEDDING = ("fc", "features")
_WIDTHS = (64, 128, 256, 512)

default_cfgs = {
    **data_config("iresnet50", "conv1", _EMBEDDING),
    **data_config("iresnet100", "conv1", _EMBEDDING),
}


class ImprovedBlock(nn.Module):
    """One residual unit: batch norm, 3x3 convolution, batch norm, PReLU, strided 3x3 convolution, batch norm.

    Args:
        in_channels: channels of its input.
        channels: channels of its output.
        stride: stride of the second convolution and of the shortcut; 1 or 2.
        drop_path: probability of dropping the residual branch.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, drop_path: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = convolution(in_channels, channels, 3)
        self.bn2 = nn.BatchNorm2d(channels)
        self.prelu = nn.PReLU(channels)
        self.conv2 = convolution(channels, channels, 3, stride)
        self.bn3 = nn.BatchNorm2d(channels)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(convolution(in_channels, channels, 1, stride), nn.BatchNorm2d(channels))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B,in_channels,H,W) to (B,channels,H/stride,W/stride)."""
        branch = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        branch = self.bn3(self.conv2(branch))
        return self.downsample(x) + self.drop_path(branch)  # type: ignore[no-any-return]


class IResNet(FaceNetwork):
    """A stem of stride 1, stages of :class:`ImprovedBlock` that each halve height and width, and a final batch norm.

    Args:
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
        depths: Sequence[int],
        widths: Sequence[int] = _WIDTHS,
        num_classes: int = 0,
        in_chans: int = 3,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__(num_classes)
        shape = stage_widths(depths, widths)
        rates = iter(drop_path_rates(drop_path_rate, sum(depths)))
        channels = widths[0]
        self.conv1 = convolution(in_chans, channels, 3)
        self.bn1 = nn.BatchNorm2d(channels)
        self.prelu = nn.PReLU(channels)
        self.feature_info = []
        for number, (depth, width) in enumerate(shape, start=1):
            stage = nn.Sequential()
            for block in range(depth):
                stage.append(ImprovedBlock(channels, width, 1 if block else 2, next(rates)))
                channels = width
            self.add_module(f"layer{number}", stage)
            self.feature_info.append({"num_chs": width, "reduction": 2**number, "module": f"layer{number}"})
        self.bn2 = nn.BatchNorm2d(channels)
        self.num_features = channels
        if num_classes:
            self.fc = nn.Linear(channels * 7 * 7, num_classes)
            self.features = nn.BatchNorm1d(num_classes)
        initialise(self)

    def stem(self, x: Tensor) -> Tensor:
        """Map images (B,C,H,W) to (B,widths[0],H,W)."""
        return self.prelu(self.bn1(self.conv1(x)))  # type: ignore[no-any-return]

    def stages(self) -> Iterable[nn.Module]:
        """Return the modules from ``layer1`` to the last stage."""
        return [self.get_submodule(info["module"]) for info in self.feature_info]

    def last_map(self, x: Tensor) -> Tensor:
        """Apply the final batch norm to the last feature map."""
        return self.bn2(x)  # type: ignore[no-any-return]

    def embed(self, x: Tensor) -> Tensor:
        """Compute the identity embedding from the last feature map (B,D,7,7)."""
        return self.features(self.fc(x.flatten(1)))  # type: ignore[no-any-return]

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return the regular expressions by which timm assigns parameters to layers."""
        blocks = r"^layer(\d+)" if coarse else r"^layer(\d+)\.(\d+)"
        return {"stem": r"^conv1|^bn1|^prelu", "blocks": [(blocks, None), (r"^bn2", (99999,))]}


@register_model  # type: ignore[untyped-decorator]
def iresnet50(pretrained: bool = False, **options: Any) -> IResNet:
    """iResNet-50: 3, 4, 14 and 3 blocks; 43.59 M parameters with its embedding."""
    options = {"depths": (3, 4, 14, 3), **options}
    return build_model_with_cfg(IResNet, "iresnet50", pretrained, **options)  # type: ignore[no-any-return]


@register_model  # type: ignore[untyped-decorator]
def iresnet100(pretrained: bool = False, **options: Any) -> IResNet:
    """iResNet-100: 3, 13, 30 and 3 blocks; 65.16 M parameters with its embedding."""
    options = {"depths": (3, 13, 30, 3), **options}
    return build_model_with_cfg(IResNet, "iresnet100", pretrained, **options)  # type: ignore[no-any-return]
