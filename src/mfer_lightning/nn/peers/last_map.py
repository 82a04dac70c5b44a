"""Build the backbone of a network that uses its last feature map."""

from __future__ import annotations

from typing import Any

import torch

from mfer_lightning.errors import UserError
from mfer_lightning.nn.backbones import Backbone, build_backbone, resolve_backbone
from mfer_lightning.nn.backbones.trace import without_data
from mfer_lightning.nn.options import Spec, split


def backbone_with_map(
    network: str, spec: Spec, *, in_chans: int = 3, image_size: int | None = None
) -> tuple[dict[str, Any], Backbone]:
    """Build a backbone, by default without a final norm, as in the networks from other papers.

    Args:
        network: name of the network, for messages.
        spec: a timm model name, or a mapping with ``name`` and options.
        in_chans: channels of the images.
        image_size: side of the images in pixels; None: any size that the model supports.

    Returns:
        The complete specification of the backbone, and the backbone.

    Raises:
        UserError: for an unknown model or option, or a model without a last map.

    Example:
        >>> config, backbone = backbone_with_map("DAN", "resnet10t")
        >>> config["norm"], backbone.feature_dim
        ('none', 512)
    """
    name, options = split("backbone", spec)
    config = resolve_backbone({"norm": "none", **options, "name": name})
    backbone = build_backbone(config, in_chans=in_chans, image_size=image_size)
    if not backbone.has_map:
        raise UserError(
            f"{network} attends to the last map of its backbone, but '{name}' has none. "
            "Choose a convolutional network from timm (resnet, convnext, ...)."
        )
    return config, backbone


def measure_map(backbone: Backbone, *, in_chans: int = 3, image_size: int) -> tuple[int, int]:
    """Return height and width of a backbone's last feature map, from a forward pass without data.

    Args:
        backbone: a backbone with a map.
        in_chans: channels of the images.
        image_size: side of the images in pixels.

    Example:
        >>> _, backbone = backbone_with_map("DDAMFN", "resnet10t")
        >>> measure_map(backbone, image_size=100)  # not 100 / 32: each layer of stride 2 rounds up
        (4, 4)
    """
    _, last = without_data(backbone).pooled_map(torch.empty(1, in_chans, image_size, image_size, device="meta"))
    height, width = last.shape[2:]
    return height, width
