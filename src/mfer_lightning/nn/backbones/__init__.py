"""Feature extractors, built from the options ``backbone.*``.

The rest of the package builds backbones only with :func:`resolve_backbone` and :func:`build_backbone`. To add a family,
add a module that builds a :class:`~mfer_lightning.nn.backbones.backbone.Backbone` or a class like it (``feature_dim``,
``stages``, and a ``forward`` from normalised images to features), a branch in these two functions, and a
``conf/backbone/<name>.yaml``.

timm is imported when it is needed: its import takes seconds, and some trained models predict without it. It is
imported under ``torch.device("cpu")``, because callers may build a network on the meta device, where the import of
modules that create tensors fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from mfer_lightning.nn.backbones.backbone import Attend, Backbone
from mfer_lightning.nn.backbones.plain_resnet import build_plain_resnet, needs_no_timm
from mfer_lightning.nn.backbones.specification import complete
from mfer_lightning.nn.options import Spec, split

__all__ = ["Backbone", "build_backbone", "resolve_backbone"]


def resolve_backbone(spec: Spec) -> dict[str, Any]:
    """Complete a backbone's specification.

    Args:
        spec: a timm model name, or a mapping with ``name`` and options.

    Returns:
        A plain dict with all options.

    Raises:
        UserError: for an unknown model, option or value.

    Example:
        >>> resolve_backbone("convnext_base")["drop_path_rate"]
        0.25
    """
    name, _ = split("backbone", spec)
    if not needs_no_timm(name):
        with torch.device("cpu"):
            from mfer_lightning.nn.backbones.model_names import check_model_name  # imports timm

        check_model_name(name)
    return complete(spec)


def build_backbone(
    config: Mapping[str, Any], *, in_chans: int = 3, attend: Attend | None = None, image_size: int | None = None
) -> Backbone:
    """Build a feature extractor from a complete specification.

    Args:
        config: the result of :func:`resolve_backbone`.
        in_chans: number of image channels.
        attend: attention modules to insert, by stage.
        image_size: side of the images in pixels; None: any size that the network accepts.

    Raises:
        UserError: if the model cannot be built with these options, does not accept this size, or does not support
            attention after these stages.
    """
    if needs_no_timm(config["name"]):
        plain = build_plain_resnet(config, in_chans=in_chans, attend=attend, image_size=image_size)
        if plain is not None:
            return plain
    with torch.device("cpu"):
        from mfer_lightning.nn.backbones.timm_backbone import build_timm_backbone  # imports timm

    return build_timm_backbone(config, in_chans=in_chans, attend=attend, image_size=image_size)
