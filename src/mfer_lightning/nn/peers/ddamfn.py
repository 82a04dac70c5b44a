"""DDAMFN: dual-direction attention heads on the last feature map of MixedFeatureNet.

Paper: Zhang, Zhang, Zhang, Wang, Song: A Dual-Direction Attention Mixed Feature Network for Facial Expression
Recognition, Electronics 12(17), 2023, doi 10.3390/electronics12173595. Structure from the paper; widths and the order
of operations as in the authors' public code (https://github.com/simon20010923/DDAMFN), whose weight files can be
loaded. These files also contain modules that the authors' network never calls, which are left out. This project adds
support for maps of sizes other than 7x7 (the kernels over a whole row, column or map have the size of the map), and for
other backbones with a last feature map.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from mfer_lightning.errors import check_count
from mfer_lightning.nn.backbones.faces.mixedfeaturenet import never_called
from mfer_lightning.nn.base import Network, Output
from mfer_lightning.nn.coordinate_attention import CoordinateAttention
from mfer_lightning.nn.options import Spec
from mfer_lightning.nn.peers.last_map import backbone_with_map, measure_map

#: MixedFeatureNet as a sequence without its embedding, numbered as in the authors' files.
_NUMBERED = ("conv1", "conv2_dw", "conv_23", "conv_3", "conv_34", "conv_4", "conv_45", "conv_5", "conv_6_sep")


class DDAMFN(Network):
    """Dual-direction attention mixed feature network.

    Args:
        num_classes: K.
        backbone: a timm model whose last map the heads attend to, by name or as for :class:`~mfer_lightning.nn.MFER`.
        heads: number H of dual-direction attention heads.
        in_chans: channels of the images.
        image_size: side of the images in pixels, which determines the kernels over the whole map.

    Output in addition to ``feature``, ``logits`` and ``head_logits``: ``attention_maps`` (B,H,D,h,w), the weights that
    each head computes for the map, used by the attention loss. The map is multiplied by their maximum over the heads.

    Raises:
        UserError: for unknown names and options, or a backbone without a last map.

    Example:
        >>> net = DDAMFN(backbone={"name": "mixedfeaturenet", "options": {"depths": [1, 1, 1], "width": 8}})
        >>> out = net.eval()(torch.zeros(2, 3, 112, 112))
        >>> out["feature"].shape, out["logits"].shape, out["attention_maps"].shape
        (torch.Size([2, 64]), torch.Size([2, 7]), torch.Size([2, 2, 64, 7, 7]))
    """

    name: ClassVar[str] = "ddamfn"

    def __init__(
        self,
        num_classes: int = 7,
        *,
        backbone: Spec = "mixedfeaturenet",
        heads: int = 2,
        in_chans: int = 3,
        image_size: int | None = 112,
    ) -> None:
        super().__init__()
        self.num_classes = check_count("num_classes", num_classes)
        check_count("heads", heads)
        side = 112 if image_size is None else image_size
        resolved, self.backbone = backbone_with_map("DDAMFN", backbone, in_chans=in_chans, image_size=side)
        self.config = {
            "name": self.name,
            "backbone": resolved,
            "num_classes": num_classes,
            "heads": heads,
            "in_chans": in_chans,
            "image_size": side,
        }
        height, width = measure_map(self.backbone, in_chans=in_chans, image_size=side)
        self.feature_dim = self.backbone.feature_dim
        self.attention = nn.ModuleList(DirectionHead(self.feature_dim, height, width) for _ in range(heads))
        self.pool = WholeMap(self.feature_dim, (height, width))
        self.head = nn.Linear(self.feature_dim, num_classes)
        self.outputs = ("feature", "logits", "head_logits", "attention_maps")

    def forward(self, image: Tensor) -> Output:
        """Classify normalised faces, float (B,C,S,S) of ``image_size``.

        Raises:
            ValueError: for integer images, which have not been normalised, or images of a different size.
        """
        self.check_image(image)
        side = self.config["image_size"]
        if image.shape[2:] != (side, side):
            raise ValueError(
                f"Expected argument `image` of {side}x{side} pixels, the size that this network was built for, but got "
                f"{image.shape[2]}x{image.shape[3]}. Build it with image_size={image.shape[3]}."
            )
        _, last = self.backbone.pooled_map(image)
        assert last is not None
        maps = torch.stack([head(last) for head in self.attention], 1)
        feature = self.pool(last * maps.amax(1)).flatten(1)
        logits = self.head(feature)
        return {"feature": feature, "logits": logits, "head_logits": (logits,), "attention_maps": maps}

    def public_names(self) -> Mapping[str, str]:
        """Return the names of our tensors in the authors' files, which contain MixedFeatureNet."""
        names = {}
        for ours in self.state_dict():
            top, _, rest = ours.partition(".")
            if top == "backbone":
                names[ours] = numbered(self.backbone.timm_name(rest) or rest)
            elif top == "attention":
                number, _, inner = rest.partition(".")
                names[ours] = f"cat_head{number}.CoordAtt.{inner}"
            else:
                names[ours] = {"pool": "Linear", "head": "fc"}[top] + f".{rest}"
        return names

    def public_left_out(self) -> tuple[str, ...]:
        """Return the modules of the authors' files that their network never calls."""
        depths = getattr(self.backbone.model, "depths", None)
        unused = () if depths is None else tuple(numbered(name) for name in never_called(depths))
        return ("bn", *(f"cat_head{i}.CoordAtt.Linear" for i in range(len(self.attention))), *unused)


def numbered(name: str) -> str:
    """Convert one of MixedFeatureNet's names to the name in the authors' files of the whole network.

    Example:
        >>> numbered("conv_23.conv.bn.weight")
        'features.2.conv.bn.weight'
    """
    stage, _, inner = name.partition(".")
    return f"features.{_NUMBERED.index(stage) if stage in _NUMBERED else stage}.{inner}"


class DirectionHead(CoordinateAttention):
    """Coordinate attention with rows and columns summarised by convolutions over their full length.

    Args:
        channels: C of the feature map.
        height: h of the map.
        width: w of the map.
    """

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__(channels)
        self.Linear_h = WholeMap(channels, (1, width))
        self.Linear_w = WholeMap(channels, (height, 1))

    def rows(self, x: Tensor) -> Tensor:
        """Summarise each row of a map (B,C,h,w) as (B,C,h,1)."""
        return self.Linear_h(x)  # type: ignore[no-any-return]

    def columns(self, x: Tensor) -> Tensor:
        """Summarise each column of a map (B,C,h,w) as (B,C,1,w)."""
        return self.Linear_w(x)  # type: ignore[no-any-return]


class WholeMap(nn.Module):
    """A depthwise convolution without padding over a whole row, column or map, and a batch norm.

    Args:
        channels: C of the feature map.
        kernel: height and width.
    """

    def __init__(self, channels: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B,C,h,w) to (B,C,h - kernel[0] + 1,w - kernel[1] + 1)."""
        return self.bn(self.conv(x))  # type: ignore[no-any-return]
