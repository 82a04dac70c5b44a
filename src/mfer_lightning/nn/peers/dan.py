"""DAN: several cross attention heads on the last feature map of a ResNet-18, fused by the sum of their log-softmax.

Paper: Wen, Lin, Wang, Xu: Distract Your Attention: Multi-head Cross Attention Network for Facial Expression
Recognition, Biomimetics 8(2), 2023, arXiv 2109.07270. Structure from the paper; widths, initial values, the log-softmax
over the heads and the batch norm after the classifier as in the authors' public code (https://github.com/yaoing/DAN),
whose weight files can be loaded. In this project, ResNet-18 can be replaced by any timm backbone with a last feature
map.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mfer_lightning.errors import check_count
from mfer_lightning.nn.base import Network, Output
from mfer_lightning.nn.options import Spec
from mfer_lightning.nn.peers.last_map import backbone_with_map

#: torchvision's ResNet as a sequence without its head, numbered as in the authors' files.
_NUMBERED = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}


class DAN(Network):
    """Distract Your Attention network.

    Args:
        num_classes: K.
        backbone: a timm model whose last map the heads attend to, by name or as for :class:`~mfer_lightning.nn.MFER`.
        heads: number H of cross attention heads; a single head is used without the log-softmax.
        reduction: width of the map divided by that of the channel attention's bottleneck.
        in_chans: channels of the images.
        image_size: side of the images in pixels, for backbones with a fixed size; None: any.

    Outputs in addition to ``feature``, ``logits`` and ``head_logits``: ``pooled`` (B,D), the mean of the map before the
    heads, used by the affinity loss, and ``attended`` (B,H,D), the heads' features after the log-softmax over the
    heads, used by the partition loss. ``feature`` (B,D) is the sum of ``attended`` over the heads.

    Raises:
        UserError: for unknown names and options, or a backbone without a last map.

    Example:
        >>> net = DAN(num_classes=7, backbone="resnet10t", heads=2)
        >>> out = net(torch.zeros(2, 3, 64, 64))
        >>> out["feature"].shape, out["logits"].shape, out["attended"].shape
        (torch.Size([2, 512]), torch.Size([2, 7]), torch.Size([2, 2, 512]))
    """

    name: ClassVar[str] = "dan"

    def __init__(
        self,
        num_classes: int = 7,
        *,
        backbone: Spec = "resnet18",
        heads: int = 4,
        reduction: int = 16,
        in_chans: int = 3,
        image_size: int | None = None,
    ) -> None:
        super().__init__()
        self.num_classes = check_count("num_classes", num_classes)
        check_count("heads", heads)
        check_count("reduction", reduction)
        resolved, self.backbone = backbone_with_map("DAN", backbone, in_chans=in_chans, image_size=image_size)
        self.config = {
            "name": self.name,
            "backbone": resolved,
            "num_classes": num_classes,
            "heads": heads,
            "reduction": reduction,
            "in_chans": in_chans,
            "image_size": image_size,
        }
        self.feature_dim = self.backbone.feature_dim
        self.attention = nn.ModuleList(CrossAttention(self.feature_dim, reduction) for _ in range(heads))
        self.head = DANHead(self.feature_dim, num_classes)
        self.outputs = ("feature", "logits", "head_logits", "pooled", "attended")

    def forward(self, image: Tensor) -> Output:
        """Classify normalised faces, float (B,C,H,W).

        Raises:
            ValueError: for integer images, which have not been normalised.
        """
        self.check_image(image)
        pooled, last = self.backbone.pooled_map(image)
        assert last is not None
        attended = torch.stack([head(last) for head in self.attention], 1)
        if len(self.attention) > 1:
            # in float32, as autocast does on GPUs: in bfloat16 on the CPU, torch 2.6 returned infinite values
            attended = F.log_softmax(attended, dim=1, dtype=torch.float32 if attended.dtype == torch.bfloat16 else None)
        feature = attended.sum(1)
        logits = self.head(feature)
        return {
            "feature": feature,
            "logits": logits,
            "head_logits": (logits,),
            "pooled": pooled,
            "attended": attended,
        }

    def public_names(self) -> Mapping[str, str]:
        """Return the names of our tensors in the authors' files, which contain torchvision's ResNet-18."""
        names = {}
        for ours in self.state_dict():
            top, _, rest = ours.partition(".")
            if top == "backbone":
                stage, _, inner = (self.backbone.timm_name(rest) or rest).partition(".")
                names[ours] = f"features.{_NUMBERED.get(stage, stage)}.{inner}"
            elif top == "attention":
                number, _, inner = rest.partition(".")
                names[ours] = f"cat_head{number}.{inner}"
            else:
                names[ours] = rest
        return names


class CrossAttention(nn.Module):
    """One head: spatial attention on the feature map, then channel attention on its mean.

    Args:
        width: channels D of the map.
        reduction: D divided by the width of the channel attention's bottleneck.
    """

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        self.sa = SpatialAttention(width)
        self.ca = ChannelAttention(width, reduction)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.001)
            if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Attend to a map (B,D,h,w); return the head's feature (B,D)."""
        attended: Tensor = self.ca(self.sa(x))
        return attended


class SpatialAttention(nn.Module):
    """Weight the positions of a feature map by convolutions of three shapes, summed over their channels.

    Args:
        width: channels D of the map.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        half = max(width // 2, 1)
        self.conv1x1 = nn.Sequential(nn.Conv2d(width, half, 1), nn.BatchNorm2d(half))
        self.conv_3x3 = _normed(half, width, (3, 3))
        self.conv_1x3 = _normed(half, width, (1, 3))
        self.conv_3x1 = _normed(half, width, (3, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Multiply a map (B,D,h,w) by the weight of each position; return the same shape."""
        y = self.conv1x1(x)
        weight = F.relu(self.conv_3x3(y) + self.conv_1x3(y) + self.conv_3x1(y)).sum(1, keepdim=True)
        return x * weight


class ChannelAttention(nn.Module):
    """Weight the channels of the mean of a feature map.

    Args:
        width: channels D of the map.
        reduction: D divided by the width of the bottleneck.
    """

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        inner = max(width // reduction, 1)
        self.attention = nn.Sequential(
            nn.Linear(width, inner), nn.BatchNorm1d(inner), nn.ReLU(), nn.Linear(inner, width), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Pool and weight a map (B,D,h,w); return (B,D)."""
        pooled = x.mean((2, 3))
        weighted: Tensor = pooled * self.attention(pooled)
        return weighted


class DANHead(nn.Module):
    """The classifier: one linear layer and a batch norm of the logits.

    Args:
        width: D of the feature.
        num_classes: K.
    """

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(width, num_classes)
        self.bn = nn.BatchNorm1d(num_classes)

    def forward(self, feature: Tensor) -> Tensor:
        """Classify features (B,D); return logits (B,K)."""
        logits: Tensor = self.bn(self.fc(feature.to(self.fc.weight.dtype)))
        return logits


def _normed(inner: int, width: int, kernel: tuple[int, int]) -> nn.Sequential:
    padding = (kernel[0] // 2, kernel[1] // 2)
    return nn.Sequential(nn.Conv2d(inner, width, kernel, padding=padding), nn.BatchNorm2d(width))
