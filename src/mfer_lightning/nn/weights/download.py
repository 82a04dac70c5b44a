"""Download the weights of a timm model, or load them from the hub's cache."""

from __future__ import annotations

from contextlib import nullcontext

import timm
from torch import Tensor

from mfer_lightning.errors import UserError
from mfer_lightning.nn.backbones.timm_backbone import create_timm_model
from mfer_lightning.nn.backbones.trace import timm_facts
from mfer_lightning.nn.base import Network
from mfer_lightning.nn.weights.hub import cache_alone, reachable


def check_download(model: Network) -> None:
    """Reject ``weights=imagenet`` if no weights exist, or if the hub is unreachable and they are not cached.

    Args:
        model: the network, which may be on the meta device and is not changed.

    Raises:
        UserError: if the weights are not available; the message explains how to get them.
    """
    _check_published(model.backbone_config["name"])
    if not reachable():
        download(model)


def download(model: Network) -> tuple[str, dict[str, Tensor]]:
    """Return the source of a backbone's weights, and the weights under timm's names.

    Raises:
        UserError: if the weights are not available; the message explains how to get them.
    """
    config = model.backbone_config
    _check_published(config["name"])
    try:
        given = {key: model.config[key] for key in ("in_chans", "image_size") if model.config[key] is not None}
        with nullcontext() if reachable() else cache_alone():
            pretrained = create_timm_model(config, pretrained=True, **given)
    except Exception as error:  # the hub's client raises many kinds of errors
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"timm's weights for '{config['name']}' could not be loaded: {reason.rstrip('.')}. Training does not "
            "silently start from scratch. Without internet access, download the model's .safetensors file from "
            "huggingface.co/timm on another machine and set weights=path/to/file, or set HF_HOME to a cache that "
            "contains it. No such weights exist for changed widths or depths. weights=none trains from scratch."
        ) from error
    tag = timm_facts(pretrained).get("tag") or "default"
    return f"imagenet ({config['name'].split('.')[0]}.{tag})", dict(pretrained.state_dict())


def _check_published(name: str) -> None:
    if not timm.is_model_pretrained(name):
        raise UserError(
            f"weights=imagenet: timm publishes no weights for backbone '{name}'. Use weights=<file> (docs/weights.md "
            "lists known files), or weights=none to train from scratch."
        )
