"""LoRA: train low-rank updates of the linear layers of a frozen backbone.

Paper: Hu et al.: LoRA, ICLR 2022, arXiv 2106.09685. The layers come from the package peft (Hugging Face, Apache 2.0).
The choice of layers to adapt and the merging are the project's own. Merging works without peft, so that a checkpoint
loads without it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from mfer_lightning.errors import UserError, check_count, check_number
from mfer_lightning.nn.backbones.trace import run_on_meta, without_data
from mfer_lightning.nn.base import Network
from mfer_lightning.nn.options import Spec, resolve

#: Options of each adapter with their defaults.
ADAPTERS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {"none": {}, "lora": {"rank": 8, "alpha": 16.0, "dropout": 0.0, "targets": None}}
)
#: Buffer of an adapted network: the scaling factor of the updates. Its presence marks an adapted state dict.
SCALE = "adapter_scale"
_BASE, _DOWN, _UP = ".base_layer.", ".lora_A.default.weight", ".lora_B.default.weight"


def add_adapter(network: Network, adapter: Spec) -> tuple[str, ...]:
    """Freeze the backbone's weights and add an adapter to its linear layers, in place.

    Load pre-trained weights first. Attention, the final norm and the heads stay trainable.

    Args:
        network: a network of this package.
        adapter: ``"none"`` (a no-op) or ``"lora"``, or a mapping with ``name`` and any of ``rank``, ``alpha``,
            ``dropout``, ``targets`` (name suffixes of layers; None: every linear layer).

    Returns:
        timm's names of the adapted layers.

    Raises:
        UserError: for unknown options and values out of range, if a target matches no layer, if the network already has
            an adapter, or if peft is not installed.
    """
    options = resolve("adapter", adapter, ADAPTERS)
    if options["name"] == "none":
        return ()
    try:
        rank = check_count("rank", options["rank"])
        alpha = float(check_number("alpha", options["alpha"], 0, excluded="low"))
        dropout = float(check_number("dropout", options["dropout"], 0, 1, excluded="high"))
    except ValueError as error:
        raise UserError(f"Adapter 'lora': {error}") from error
    if hasattr(network, SCALE):
        raise UserError("adapter=lora: the network already has an adapter.")
    layers = _layers(network, options["targets"])
    widest = max(min(network.backbone.model.get_submodule(path).weight.shape) for path in layers)
    if rank > widest:
        raise UserError(
            f"adapter.rank={rank}: the widest layer of '{network.config['backbone']['name']}' has rank "
            f"{widest}, and a larger value has no effect. Typical values are 4 to 64."
        )
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise UserError(
            f"adapter=lora needs the package peft: pip install 'mfer_lightning[lora]' ({error}). Trained checkpoints "
            "load without it."
        ) from error
    wanted = "|".join(re.escape(path) for path in layers)
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=wanted, bias="none")
    inject_adapter_in_model(config, network.backbone.model)
    network.register_buffer(SCALE, torch.tensor(alpha / rank))
    for name, parameter in network.backbone.named_parameters():  # peft also froze our attention
        parameter.requires_grad_(network.backbone.timm_name(name) is None)
    return tuple(layers.values())


def merge_adapter(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Merge the low-rank updates in a state dict into the weights that they belong to.

    Args:
        state: name -> tensor, with any prefix; a state dict without an adapter is returned unchanged.

    Returns:
        The state dict of the same network without an adapter, which gives the same outputs.

    Raises:
        UserError: if the adapter is incomplete or does not fit the weights.
    """
    scale = next((value for name, value in state.items() if name.endswith(SCALE)), None)
    if scale is None:
        return dict(state)
    if scale.numel() != 1:
        raise UserError(
            f"The weights are damaged: {SCALE} must be a single number, but has the shape {tuple(scale.shape)}."
        )
    merged = {}
    for name, value in state.items():
        if name.endswith((SCALE, _DOWN, _UP)):
            continue
        layer, found, leaf = name.rpartition(_BASE)
        if found and leaf == "weight":
            down, up = state.get(layer + _DOWN), state.get(layer + _UP)
            if down is None or up is None or up.dim() != 2 or (*up.shape[:1], *down.shape[1:]) != tuple(value.shape):
                raise UserError(
                    f"The weights are damaged: the adapter is incomplete or does not fit its layer {layer}."
                )
            try:
                value = value + float(scale) * (up.float() @ down.float()).to(value.dtype)
            except RuntimeError as error:
                raise UserError(
                    f"The weights are damaged: the adapter does not fit its layer {layer} ({error})."
                ) from error
        merged[f"{layer}.{leaf}" if found else name] = value
    return merged


def _layers(network: Network, targets: object) -> dict[str, str]:
    """Return the linear layers to adapt: path within the timm model -> timm's name."""
    wanted = [targets] if isinstance(targets, str) else targets
    if wanted is not None and not (isinstance(wanted, list) and wanted and all(isinstance(t, str) for t in wanted)):
        raise UserError(
            f"adapter.targets={targets!r}: the value must be a list of the last parts of layer names, e.g. "
            "adapter.targets=[qkv,proj], or null for every linear layer."
        )
    backbone, name = network.backbone, network.config["backbone"]["name"]
    ghost, called = without_data(backbone.model), set()
    for path, module in ghost.named_modules():
        if isinstance(module, nn.Linear):  # some models read a layer's weight without calling the layer
            module.register_forward_pre_hook(lambda _m, _i, path=path: called.add(path))
    run_on_meta(ghost, name, network.config["in_chans"], backbone.side)
    own = {path: backbone.timm_name(f"model.{path}.") for path, _ in backbone.model.named_modules() if path in called}
    linear = {path: theirs.rstrip(".") for path, theirs in own.items() if theirs is not None}
    if not linear:
        raise UserError(f"adapter=lora: backbone '{name}' has no linear layer that it calls. Use adapter=none.")
    if wanted is None:
        return linear
    names = [f".{theirs}" for theirs in linear.values()]
    missing = [target for target in wanted if not any(name.endswith(f".{target}") for name in names)]
    if missing:
        legal = ",".join(sorted({theirs.rpartition(".")[2] for theirs in linear.values()}))
        raise UserError(
            f"adapter=lora: backbone '{name}' has no linear layer named {', '.join(map(repr, missing))}. Use "
            f"adapter.targets=[{legal}], or only some of these names."
        )
    ends = tuple(f".{target}" for target in wanted)
    return {path: theirs for path, theirs in linear.items() if f".{theirs}".endswith(ends)}
