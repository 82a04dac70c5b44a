"""The schedule that follows a validation metric: lower the rates where it no longer improves."""

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
    """Build torch's schedule that lowers the rates where a metric no longer improves; ``step(metric)`` each epoch.

    Args:
        optimizer: its groups' rates are those at factor 1.
        mode: whether more (``max``) or less (``min``) of the metric is better.
        factor: of all rates, within (0, 1).
        patience: epochs without a better metric, >= 0.
        threshold: a metric must be better by this share, >= 0.
        cooldown: epochs after a fall that are not counted, >= 0.
        min_lr_ratio: smallest factor, within [0, 1].

    Raises:
        ValueError: where an argument is not legal.
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
    """Build what follows the metric in a training with the schedule ``plateau``; None for every other schedule.

    Call it before :func:`schedule_for`, which sets the rates of the first step.

    Args:
        optimizer: its groups' rates are those at factor 1.
        options: of the schedule; None values are left out.
        mode: ``max`` or ``min``.

    Raises:
        ValueError: where an option is not legal.
    """
    if options.get("name") != "plateau":
        return None
    taken = inspect.signature(build_plateau).parameters
    return build_plateau(optimizer, mode, **{k: v for k, v in options.items() if v is not None and k in taken})
