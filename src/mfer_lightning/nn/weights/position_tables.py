"""Adapt position embeddings in a file to the network's image size, and convert transformer weights of other projects.

Both use timm's ``checkpoint_filter_fn`` for the model's family.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import timm
import torch
from torch import Tensor

from mfer_lightning.nn.backbones.timm_backbone import create_timm_model
from mfer_lightning.nn.base import Network
from mfer_lightning.nn.weights.layouts import detect


def fit_positions(model: Network, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Interpolate the position embeddings in a file to the image size of a network.

    Args:
        model: the network.
        state: name -> tensor, in timm's layout, in the layout of the model's original project, or in that of our
            checkpoints.

    Returns:
        The weights; unchanged if the model has no fixed-size positions, or timm cannot convert them.
    """
    config = model.backbone_config
    facts, kind = timm.get_pretrained_cfg(config["name"]), detect(state)
    if facts is None or not facts.fixed_input_size or kind not in ("own", "timm"):
        return dict(state)
    with torch.device("meta"):
        plain = create_timm_model(config, in_chans=model.config["in_chans"], image_size=model.config["image_size"])
    convert: Any = getattr(sys.modules[type(plain).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return dict(state)
    files = {name: name for name in state} if kind == "timm" else _own_names(model, state)
    try:
        converted = dict(convert({files[name]: tensor for name, tensor in state.items() if name in files}, plain))
    except Exception:  # a file of another kind: the loader reports what does not match
        return dict(state)
    if kind == "timm":
        return converted if all(isinstance(value, Tensor) for value in converted.values()) else dict(state)
    return {name: converted.get(files[name], tensor) if name in files else tensor for name, tensor in state.items()}


def _own_names(model: Network, state: Mapping[str, Tensor]) -> dict[str, str]:
    """Return timm's names for the backbone's tensors in one of our checkpoints, whatever their prefix."""
    names = {}
    for name in state:
        _, found, rest = name.partition("backbone.model.")
        theirs = model.backbone.timm_name(f"model.{rest}") if found else None
        if theirs is not None:
            names[name] = theirs
    return names
