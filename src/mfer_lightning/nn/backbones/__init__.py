"""Feature extractors, one file per family, built from the options ``backbone.*``.

The rest of the package uses only :func:`resolve_backbone` and :func:`build_backbone`. To add a family, add a module
with a class like :class:`~mfer_lightning.nn.backbones.timm_backbone.Backbone` (``feature_dim``, ``stages``, and a
``forward`` from normalised images to features), a branch in these two functions, and a ``conf/backbone/<name>.yaml``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from mfer_lightning.nn.backbones import faces  # noqa: F401 - registers the face networks with timm
from mfer_lightning.nn.backbones.timm_backbone import Backbone, resolve_timm
from mfer_lightning.nn.options import Spec

__all__ = ["Backbone", "build_backbone", "resolve_backbone"]

#: Stage number (from 1) -> a function ``(channels, layout) -> module`` that creates the attention after that stage.
Attend = Mapping[int, Callable[[int, str], nn.Module]]


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
    return resolve_timm(spec)


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
            attention after that stage.
    """
    return Backbone(config, in_chans=in_chans, attend=attend, image_size=image_size)
