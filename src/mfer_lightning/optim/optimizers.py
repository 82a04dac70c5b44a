"""Build an optimizer over parameter groups, by its name in timm or torch."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from timm.optim import Muon, get_optimizer_class, get_optimizer_info, list_optimizers
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from mfer_lightning.errors import nearest
from mfer_lightning.optim.groups import HEAD_PREFIX, parameter_groups
from mfer_lightning.optim.sam import SAM

#: Classes of torch, by their own names (``Adam``, ``ASGD``); timm's names are lower case.
TORCH = tuple(n for n in torch.optim.__all__ if inspect.isclass(getattr(torch.optim, n)) and n != "Optimizer")

#: Name -> why it is not supported. timm itself declares which optimizers need second derivatives.
REFUSED: Mapping[str, str] = {
    "LBFGS": "It evaluates the loss many times per step, and supports only one parameter group",
    "SparseAdam": "It takes only sparse gradients",
    "Muon": "torch's version supports only matrices. Use muon, timm's version, with AdamW for all other weights",
}

#: Options shared by many optimizers. An optimizer that does not have one of them ignores it, because it may come from
#: the configuration file of another optimizer.
SHARED = ("betas", "eps", "momentum", "nesterov")

#: Options of :func:`mfer_lightning.optim.parameter_groups`, given together with those of the optimizer.
OF_GROUPS = ("head_lr_scale", "center_lr_scale", "layer_decay")


def build_optimizer(
    groups: Sequence[dict[str, Any]],
    name: str = "adamw",
    *,
    lr: float = 1e-3,
    weight_decay: float = 0.05,
    fused: bool | None = None,
    sam_rho: float = 0.0,
    sam_adaptive: bool = False,
    **options: Any,
) -> Optimizer:
    """Build an optimizer over parameter groups.

    Args:
        groups: the result of :func:`mfer_lightning.optim.parameter_groups`; a group's own rate and decay take
            precedence.
        name: a name in ``timm.optim.list_optimizers()``, or a class in ``torch.optim``.
        lr: learning rate of groups without one, > 0.
        weight_decay: weight decay of groups without one, >= 0; ignored if the optimizer has none.
        fused: one kernel for the whole update, which reads and writes each weight once; None: for AdamW and SGD, if all
            parameters are floating-point and on the CPU or CUDA devices.
        sam_rho: radius of :class:`SAM` around this optimizer; 0 disables it.
        sam_adaptive: use ASAM, the scale-invariant variant.
        options: the optimizer's own arguments (``betas``, ``momentum``, ``clip_threshold``, ...). Arguments that are
            not given keep their defaults, or the values that timm binds to the name.

    Returns:
        The optimizer. With ``sam_rho`` > 0, its ``step`` needs a closure.

    Raises:
        ValueError: if an argument is unknown or out of range, or the optimizer is not supported.

    Example:
        >>> parameter = torch.nn.Parameter(torch.zeros(2))
        >>> optimizer = build_optimizer([{"params": [parameter], "name": "head"}], "sgd", lr=0.1, sam_rho=0.05)
        >>> type(optimizer).__name__, type(optimizer.base).__name__
        ('SAM', 'SGD')
        >>> type(build_optimizer([{"params": [parameter]}], "lion", lr=1e-4)).__name__
        'Lion'
    """
    kind, defaults = _find(name)
    taken = _arguments(kind)
    groups = [dict(group, params=list(group["params"])) for group in groups]
    if fused is None:
        fused = kind in (AdamW, SGD) and all(
            p.device.type in ("cpu", "cuda") and torch.is_floating_point(p) for group in groups for p in group["params"]
        )
    chosen = {k: _checked(k, v, taken[k].default) for k, v in options.items() if k in taken}
    for option in (*options, *(["fused"] if fused else [])):
        if option not in taken and option not in SHARED:
            raise ValueError(f"{name} has no option `{option}`: {nearest(option, taken)}")
    chosen = {**defaults, **chosen, "lr": lr} | ({"fused": True} if fused else {})
    if "weight_decay" in taken:
        chosen["weight_decay"] = weight_decay
    if kind is SGD and not chosen.get("momentum"):
        chosen["nesterov"] = False  # torch rejects Nesterov without momentum
    if kind is Muon:
        for group in groups:  # classifiers, centres and 1-D parameters use AdamW (Jordan et al., 2024)
            label = str(group.get("name", ""))
            group["use_fallback"] = label.startswith((HEAD_PREFIX[:-1], "centers")) or label.endswith("_no_decay")
    optimizer: Optimizer = kind(groups, **chosen)
    for group in optimizer.param_groups:
        if "max_lr_snapshot" in group:  # corrected weight decay is relative to the group's own peak rate
            group["max_lr_snapshot"] = group["lr"] or lr
        elif group.get("corrected_weight_decay") and group["lr"]:  # earlier timm: relative to the optimizer's rate
            group["weight_decay"] *= lr / group["lr"]
    if fused:
        _make_safe(optimizer)
    return optimizer if sam_rho == 0 else SAM(optimizer, rho=sam_rho, adaptive=sam_adaptive)


def optimizer_for(
    network: nn.Module, objective: nn.Module | None, options: Mapping[str, Any], method: nn.Module | None = None
) -> Optimizer:
    """Build the optimizer of a training run over the parameter groups of its network and objective.

    Args:
        network: the model.
        objective: for its trainable parameters, or None.
        options: of :func:`build_optimizer` and :func:`mfer_lightning.optim.parameter_groups`; None values are ignored.
        method: the training method, for its trainable parameters, or None.

    Raises:
        ValueError: if an option is unknown or out of range.
    """
    chosen = {k: v for k, v in options.items() if v is not None}
    split = {k: chosen.pop(k) for k in OF_GROUPS if k in chosen}
    decay = chosen.get("weight_decay", 0.0)
    groups = parameter_groups(network, objective, lr=chosen["lr"], weight_decay=decay, method=method, **split)
    return build_optimizer(groups, **chosen)


def unknown_options(options: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the options that the optimizer does not have, each with the list of legal options.

    Raises:
        ValueError: if there is no such optimizer.

    Example:
        >>> list(unknown_options({"name": "adamw", "lr": 0.1, "rl": 0.1}))
        ['rl']
    """
    taken = [*_arguments(_find(options["name"])[0]), *SHARED, *OF_GROUPS, "sam_rho", "sam_adaptive"]
    return {k: ["lr", *taken] for k in options if k not in ("name", "lr", "weight_decay", *taken)}


def unused_options(options: Mapping[str, Any]) -> list[str]:
    """Return the options that are set but that the optimizer does not have.

    Example:
        >>> unused_options({"name": "sgd", "lr": 0.1, "eps": 1e-8, "momentum": 0.9})
        ['eps']
    """
    taken = _arguments(_find(options["name"])[0])
    return [k for k in (*SHARED, "weight_decay") if options.get(k) and k not in taken]


def _find(name: str) -> tuple[type[Optimizer], dict[str, Any]]:
    """Return the class for a name, and the arguments that timm binds to it."""
    listed = list_optimizers()
    reason = REFUSED.get(name)
    if name in listed and get_optimizer_info(name).second_order:
        reason = "It needs second derivatives, but training computes only first derivatives"
    if reason is not None:
        raise ValueError(f"Expected argument `name` to be a supported optimizer, but got {name!r}. {reason}.")
    if name in TORCH:
        return getattr(torch.optim, name), {}
    if name not in listed:
        hint = nearest(name, [*listed, *TORCH])
        raise ValueError(
            f"Expected argument `name` to be an optimizer of timm or torch, but got {name!r}. "
            f"{hint[0].upper()}{hint[1:]}"
        )
    info = get_optimizer_info(name)
    momentum = {"momentum": 0.9} if info.has_momentum else {}  # as in timm's own factory
    try:
        return get_optimizer_class(name, bind_defaults=False), {**momentum, **(info.defaults or {})}
    except (AssertionError, ImportError) as error:  # a missing library or GPU
        raise ValueError(
            f"Expected argument `name` to be an installed optimizer, but got {name!r}. {error}."
        ) from error


def _arguments(kind: type[Optimizer]) -> Mapping[str, inspect.Parameter]:
    found = dict(inspect.signature(kind).parameters)
    found.pop("params", None)
    return found


def _checked(name: str, value: Any, default: Any) -> Any:
    """Check a value against the type of its default, because many classes would fail only at their first step."""
    if isinstance(default, tuple):
        if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != len(default):
            count = {2: "two", 3: "three"}.get(len(default), str(len(default)))
            raise ValueError(f"Expected argument `{name}` to be {count} numbers, but got {value}.")
        return tuple(float(v) for v in value)
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ValueError(f"Expected argument `{name}` to be true or false, but got {value!r}.")
    elif isinstance(default, (int, float)) and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise ValueError(f"Expected argument `{name}` to be a number, but got {value!r}.")
    return value


def _make_safe(optimizer: Optimizer) -> None:
    """Work around incorrect results of fused optimizers in torch 2.14.

    The fused kernels treat weights, gradients and moments as flat memory. If gradients or moments have a different
    memory format from the weights (for example, moments from a run trained without channels_last), the result is
    silently wrong.
    """
    # Lightning rejects gradient clipping if the optimizer unscales gradients itself, so let the scaler unscale them.
    optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
    optimizer.register_step_pre_hook(_lay_out_gradients)
    optimizer.register_load_state_dict_post_hook(_lay_out_moments)


def _lay_out_gradients(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None and not _alike(parameter.grad, parameter):
                parameter.grad = torch.empty_like(parameter).copy_(parameter.grad)


def _lay_out_moments(optimizer: Optimizer) -> None:
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and not _alike(value, parameter):
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _alike(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors of the same shape have the same memory order."""
    return a.stride() == b.stride() or all(
        x == y for x, y, n in zip(a.stride(), b.stride(), a.shape, strict=True) if n > 1
    )
