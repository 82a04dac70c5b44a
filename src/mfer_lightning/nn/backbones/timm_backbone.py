"""Build the backbone from a timm model.

timm: Wightman, https://github.com/huggingface/pytorch-image-models (Apache 2.0), used as a library.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import timm
from torch import nn

from mfer_lightning.errors import UserError
from mfer_lightning.nn.backbones import faces  # noqa: F401 - registers the face networks with timm
from mfer_lightning.nn.backbones.backbone import Attend, Backbone
from mfer_lightning.nn.backbones.image_size import (
    build_for_size,
    check_patches,
    fixed_side,
    legal_sizes,
    traced_side,
)
from mfer_lightning.nn.backbones.pooling import check_pool, pool_tokens
from mfer_lightning.nn.backbones.small_stem import shrink_stem, small_stem_options
from mfer_lightning.nn.backbones.trace import DoesNotRunError, prune_unused, run_on_meta, trace, without_data

_NETWORKS_OWN = frozenset(["pretrained", "num_classes", "in_chans", "features_only"])
#: Options with which timm opens files. They are rejected, because a network description may come from untrusted data.
_FILES = frozenset(["checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"])


def build_timm_backbone(
    config: Mapping[str, Any], *, in_chans: int = 3, attend: Attend | None = None, image_size: int | None = None
) -> Backbone:
    """Build the backbone of a complete specification from a timm model.

    timm's head is removed, together with all modules that do not contribute to the feature.

    Args:
        config: a complete specification, see :func:`~mfer_lightning.nn.backbones.specification.complete`.
        in_chans: number of image channels.
        attend: attention modules to insert, by stage.
        image_size: side of the images in pixels; None: any size that the model accepts.

    Raises:
        UserError: if the model cannot be built as requested, or does not support attention after these stages.
    """
    name, pool = config["name"], config["pool"]
    try:
        model = create_timm_model(config, in_chans=in_chans, image_size=image_size)
        check_patches(model, name, image_size)
        check_pool(pool, model, name)
        side = traced_side(model, config, image_size)
        layout = trace(model, name, in_chans, side, partial(pool_tokens, pool), config["stage_blocks"])
        pruned = prune_unused(model, name, layout)
        backbone = Backbone(
            model,
            layout,
            config,
            attend=attend,
            side=image_size or side,
            fixed_side=fixed_side(model),
            pruned=pruned,
        )
        if attend or backbone.side != side:  # check that it runs at this size with its stages wrapped
            run_on_meta(without_data(model), name, in_chans, backbone.side)
    except DoesNotRunError as error:
        if image_size is None:
            raise
        sizes = legal_sizes(lambda side: create_timm_model(config, image_size=side), name, image_size)
        raise UserError(f"{error}{sizes}") from error
    return backbone


def create_timm_model(
    config: Mapping[str, Any], *, in_chans: int = 3, pretrained: bool = False, image_size: int | None = None
) -> nn.Module:
    """Build the timm model of a complete specification, without its classifier.

    Args:
        config: see :func:`~mfer_lightning.nn.backbones.specification.complete`.
        in_chans: number of image channels.
        pretrained: download timm's weights. The stem then stays unchanged.
        image_size: side of the images in pixels; None: any size that the model accepts.

    Raises:
        UserError: if timm's constructor rejects the options or the size.
    """
    name = config["name"]
    where = timm.model_entrypoint(name).__module__
    family = where.rsplit(".", 1)[-1]
    options = dict(config["options"])
    small = config["stem"] == "small" and not pretrained
    if small:
        options.update(small_stem_options(family, config["stem_stride"], options))
    if config["drop_path_rate"] is not None:
        options["drop_path_rate"] = config["drop_path_rate"]
    reserved = (_NETWORKS_OWN | _FILES) & set(options)
    if reserved:
        raise UserError(
            f"Backbone '{name}': `options` must not set {', '.join(sorted(reserved))}, because such options are set "
            "by the network or make timm open files."
        )
    try:
        create = partial(timm.create_model, name, pretrained=pretrained, num_classes=0, in_chans=in_chans)
        model: nn.Module = build_for_size(create, name, options, image_size)
    except (TypeError, ValueError, AssertionError, AttributeError, IndexError, KeyError) as error:
        # timm passes options to the model's constructor, which raises any of these for an invalid one
        size = "" if image_size is None else f" for images of {image_size}x{image_size}"
        raise DoesNotRunError(
            f"timm cannot build backbone '{name}'{size} with the options {options}: "
            f"{str(error).rstrip('.') or type(error).__name__}. Legal options are the arguments of its "
            f"constructor in {where}."
        ) from error
    if small:
        shrink_stem(model, name, family, config["stem_stride"])
    return model
