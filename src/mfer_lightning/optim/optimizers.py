"""Build an optimizer by name, over parameter groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from mfer_lightning.optim.groups import parameter_groups
from mfer_lightning.optim.sam import SAM

#: Names that :func:`build_optimizer` takes.
OPTIMIZERS = ("adamw", "sgd")


def build_optimizer(
    groups: Sequence[dict[str, Any]],
    name: str = "adamw",
    *,
    lr: float = 1e-3,
    weight_decay: float = 0.05,
    betas: Sequence[float] = (0.9, 0.999),
    eps: float = 1e-8,
    momentum: float = 0.9,
    nesterov: bool = True,
    fused: bool | None = None,
    sam_rho: float = 0.0,
    sam_adaptive: bool = False,
) -> Optimizer:
    """Build an optimizer over parameter groups.

    Args:
        groups: as :func:`mfer_lightning.optim.parameter_groups` gives them; a group's own rate and decay win.
        name: ``adamw`` or ``sgd``.
        lr: learning rate of groups without their own, > 0.
        weight_decay: decay of groups without their own, >= 0 (decoupled for adamw, L2 for sgd).
        betas: of adamw.
        eps: of adamw.
        momentum: of sgd.
        nesterov: of sgd; ignored where momentum is 0.
        fused: one kernel for the whole update, which reads and writes each weight once; None: where all parameters are
            floating and on the CPU or on CUDA devices.
        sam_rho: radius of :class:`SAM` around this optimizer, 0 for none.
        sam_adaptive: the scale-invariant variant (ASAM).

    Returns:
        The optimizer. With ``sam_rho`` > 0 its ``step`` needs a closure.

    Raises:
        ValueError: where an argument is not legal.

    Example:
        >>> parameter = torch.nn.Parameter(torch.zeros(2))
        >>> optimizer = build_optimizer([{"params": [parameter], "name": "head"}], "sgd", lr=0.1, sam_rho=0.05)
        >>> type(optimizer).__name__, type(optimizer.base).__name__
        ('SAM', 'SGD')
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"Expected argument `name` to be one of {OPTIMIZERS}, but got {name!r}.")
    groups = [dict(group, params=list(group["params"])) for group in groups]
    if fused is None:
        fused = all(
            p.device.type in ("cpu", "cuda") and torch.is_floating_point(p) for group in groups for p in group["params"]
        )
    optimizer: Optimizer
    if name == "adamw":
        if len(betas) != 2:
            raise ValueError(f"Expected argument `betas` to be two numbers, but got {tuple(betas)}.")
        pair = (float(betas[0]), float(betas[1]))
        optimizer = AdamW(groups, lr=lr, weight_decay=weight_decay, betas=pair, eps=eps, fused=fused or None)
    else:
        optimizer = SGD(
            groups,
            lr=lr,
            weight_decay=weight_decay,
            momentum=momentum,
            nesterov=nesterov and momentum > 0,
            fused=fused or None,
        )
    if fused:
        _make_safe(optimizer)
    return optimizer if sam_rho == 0 else SAM(optimizer, rho=sam_rho, adaptive=sam_adaptive)


def optimizer_for(network: nn.Module, objective: nn.Module | None, options: Mapping[str, Any]) -> Optimizer:
    """Build the optimizer of a training over the groups of its network and objective.

    Args:
        network: the model.
        objective: for its learnable parameters, or None.
        options: of :func:`build_optimizer` and :func:`mfer_lightning.optim.parameter_groups`; None values are left out.

    Raises:
        ValueError: where an option is not legal.
    """
    chosen = {k: v for k, v in options.items() if v is not None}
    split = {k: chosen.pop(k) for k in ("head_lr_scale", "center_lr_scale", "layer_decay") if k in chosen}
    decay = chosen.get("weight_decay", 0.0)
    groups = parameter_groups(network, objective, lr=chosen["lr"], weight_decay=decay, **split)
    return build_optimizer(groups, **chosen)


def _make_safe(optimizer: Optimizer) -> None:
    """Keep a fused optimizer right where torch 2.14 is not.

    Its kernels walk weights, gradients and moments as flat memory. Where one of them is laid out in another order than
    the weights (moments of a run that was trained without channels_last, say), the result is silently wrong.
    """
    # Lightning refuses to clip gradients of an optimizer that says it undoes loss scaling itself; then the scaler does.
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
    """Whether two tensors of one shape lie in memory in the same order."""
    return a.stride() == b.stride() or all(
        x == y for x, y, n in zip(a.stride(), b.stride(), a.shape, strict=True) if n > 1
    )
