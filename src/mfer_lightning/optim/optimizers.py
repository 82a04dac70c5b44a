"""Building an optimizer by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.optim import SGD, AdamW, Optimizer

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
        fused: one kernel for the whole update; None: where all parameters are floating and on a CUDA device.
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
        fused = all(p.is_cuda and torch.is_floating_point(p) for group in groups for p in group["params"])
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
    return optimizer if sam_rho == 0 else SAM(optimizer, rho=sam_rho, adaptive=sam_adaptive)
