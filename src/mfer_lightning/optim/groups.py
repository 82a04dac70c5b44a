"""Parameter groups: set the learning rate and weight decay of each parameter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from mfer_lightning.errors import check_number
from mfer_lightning.optim.layers import layer_scales

#: Prefix of the parameters of the classification heads; ``_HEADS`` adds that of the valence and arousal head.
HEAD_PREFIX = "head."
_HEADS = (HEAD_PREFIX, "valence_arousal.")


def parameter_groups(
    network: nn.Module,
    objective: nn.Module | None = None,
    *,
    lr: float,
    weight_decay: float,
    head_lr_scale: float = 1.0,
    center_lr_scale: float = 1.0,
    layer_decay: float | None = None,
    method: nn.Module | None = None,
) -> list[dict[str, Any]]:
    """Sort all trainable parameters into named groups for an optimizer.

    - Weight decay is not applied to one-dimensional parameters (biases, norm weights, ConvNeXt's layer-scale gamma) or
      to parameters that the backbone excludes (timm's ``no_weight_decay``: position embeddings and similar).
    - Parameters of the objective (class centres, covariances, proxies) form the group ``centers``. They have no weight
      decay, because it would pull the centres to the origin, against the loss.
    - Heads and the layers that a training method adds have the rate ``lr * head_lr_scale``.
    - Additional networks trained by a method (its ``networks``) are grouped like the network itself.
    - ``layer_decay`` d < 1 multiplies the rate of the backbone's layer i of n by ``d ** (n - 1 - i)`` (Bao et al.,
      BEiT, ICLR 2022, arXiv 2106.08254; layers counted by timm's ``group_matcher``). Modules added to the pre-trained
      backbone (attention) start from scratch and keep the full rate, like heads.

    Args:
        network: the model. Parameters named ``head.*`` and ``valence_arousal.*`` belong to the heads; all others to the
            backbone.
        objective: the objective or loss, for its trainable parameters, or None.
        lr: base learning rate, > 0.
        weight_decay: >= 0.
        head_lr_scale: >= 0.
        center_lr_scale: >= 0.
        layer_decay: within (0, 1], or None for 1.
        method: the training method, for its trainable parameters, or None.

    Returns:
        Groups with ``name``, ``params``, ``lr``, ``weight_decay``. Each trainable parameter is in exactly one group;
        frozen parameters are in none; empty groups are left out.

    Raises:
        ValueError: if an argument is out of range, nothing is trainable, or the objective contains a parameter of the
            network.
        UserError: if ``layer_decay`` is given for a network that was loaded for prediction only.

    Example:
        >>> network = nn.Sequential()
        >>> network.backbone, network.head = nn.Linear(4, 4), nn.Linear(4, 2)
        >>> groups = parameter_groups(network, lr=0.1, weight_decay=0.05, head_lr_scale=10.0)
        >>> [(g["name"], g["lr"], g["weight_decay"]) for g in groups]
        [('backbone', 0.1, 0.05), ('backbone_no_decay', 0.1, 0.0), ('head', 1.0, 0.05), ('head_no_decay', 1.0, 0.0)]
    """
    check_number("lr", lr, 0, excluded="low")
    check_number("weight_decay", weight_decay, 0)
    check_number("head_lr_scale", head_lr_scale, 0)
    check_number("center_lr_scale", center_lr_scale, 0)
    if layer_decay is not None:
        check_number("layer_decay", layer_decay, 0, 1, excluded="low")
    groups: dict[str, dict[str, Any]] = {}
    seen: set[int] = set()

    def sort(parameter: nn.Parameter, group: str, scale: float, decayed: bool) -> None:
        seen.add(id(parameter))
        group, decay = (group, weight_decay) if decayed else (f"{group}_no_decay", 0.0)
        groups.setdefault(group, {"name": group, "params": [], "lr": lr * scale, "weight_decay": decay})
        groups[group]["params"].append(parameter)

    for member in (network, *getattr(method, "networks", ())):
        scales = layer_scales(member, layer_decay) if layer_decay is not None and layer_decay < 1 else {}
        excluded = _excluded_from_decay(member)
        for name, parameter in _trainable(member):
            if plain_name(name).startswith(_HEADS):
                group, scale = "head", head_lr_scale
            elif name in scales:
                layer, scale = scales[name]
                group = f"backbone_layer{layer:02d}"
            else:
                group, scale = "backbone", 1.0
            sort(parameter, group, scale, parameter.ndim > 1 and name not in excluded)
    for _, parameter in _trainable(method):
        if id(parameter) not in seen:
            sort(parameter, "head", head_lr_scale, parameter.ndim > 1)
    ordered = sorted(groups.values(), key=lambda g: (g["name"].startswith("head"), g["name"]))

    centers = [] if objective is None else [p for p in objective.parameters() if p.requires_grad]
    if any(id(p) in seen for p in centers):
        raise ValueError("Expected argument `objective` not to share parameters with `network`, but it does.")
    if centers:
        ordered.append({"name": "centers", "params": centers, "lr": lr * center_lr_scale, "weight_decay": 0.0})
    if not ordered:
        raise ValueError("Expected argument `network` to have trainable parameters, but all are frozen.")
    return ordered


def _trainable(module: nn.Module | None) -> Iterator[tuple[str, nn.Parameter]]:
    return (item for item in (module.named_parameters() if module is not None else ()) if item[1].requires_grad)


def plain_name(name: str) -> str:
    """Remove the prefix that torch.compile adds to a parameter name."""
    return name.replace("_orig_mod.", "")


def _excluded_from_decay(network: nn.Module) -> set[str]:
    """Return the full names of the parameters that modules exclude from weight decay (timm's ``no_weight_decay``)."""
    excluded: set[str] = set()
    parameters = {name for name, _ in network.named_parameters()}
    for prefix, module in network.named_modules():
        rule = getattr(module, "no_weight_decay", None)
        if not callable(rule):
            continue
        own = {n for n in parameters if n.startswith(f"{prefix}." if prefix else "")}
        for pattern in rule():
            # timm returns full names or name suffixes ("relative_position_bias_table").
            excluded |= {n for n in own if n == pattern or n.endswith(f".{pattern}")}
    return excluded
