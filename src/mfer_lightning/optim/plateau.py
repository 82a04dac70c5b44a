"""Reduce-on-plateau schedule: lower the learning rates when a validation metric stops improving."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from mfer_lightning.errors import check_count, check_number


def build_plateau(
    optimizer: Optimizer,
    mode: Literal["max", "min"] = "max",
    *,
    factor: float = 0.1,
    patience: int = 10,
    threshold: float = 1e-4,
    cooldown: int = 0,
    min_lr_ratio: float = 0.0,
) -> ReduceLROnPlateau:
    """Build torch's ``ReduceLROnPlateau``; call ``step(metric)`` each epoch.

    Args:
        optimizer: the current rates of its groups correspond to factor 1.
        mode: whether higher (``max``) or lower (``min``) values of the metric are better.
        factor: factor for all rates, within (0, 1).
        patience: epochs without improvement, >= 0.
        threshold: minimum relative improvement, >= 0.
        cooldown: epochs to ignore after a reduction, >= 0.
        min_lr_ratio: minimum factor, within [0, 1].

    Raises:
        ValueError: if an argument is out of range.
    """
    check_number("factor", factor, 0, 1, excluded="low")
    return ReduceLROnPlateau(
        optimizer,
        mode=mode,
        factor=factor,
        patience=check_count("patience", patience, 0),
        threshold=check_number("threshold", threshold, 0),
        cooldown=check_count("cooldown", cooldown, 0),
        min_lr=[g["lr"] * check_number("min_lr_ratio", min_lr_ratio, 0, 1) for g in optimizer.param_groups],
        eps=0.0,
    )


def plateau_for(
    optimizer: Optimizer, options: Mapping[str, Any], mode: Literal["max", "min"]
) -> ReduceLROnPlateau | None:
    """Build the plateau schedule of a training run; None for every other schedule.

    Call it before :func:`schedule_for`, which sets the rates of the first step.

    Args:
        optimizer: the current rates of its groups correspond to factor 1.
        options: options of the schedule; None values are ignored.
        mode: ``max`` or ``min``.

    Raises:
        ValueError: if an option is out of range.
    """
    if options.get("name") != "plateau":
        return None
    taken = inspect.signature(build_plateau).parameters
    return build_plateau(optimizer, mode, **{k: v for k, v in options.items() if v is not None and k in taken})
