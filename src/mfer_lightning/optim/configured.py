"""Build the optimizer and the schedules in the form that Lightning's ``configure_optimizers`` returns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from torch import nn
from torch.optim import Optimizer

from mfer_lightning.optim.optimizers import optimizer_for
from mfer_lightning.optim.plateau import plateau_for
from mfer_lightning.optim.schedules import schedule_for


def configured(
    parts: tuple[nn.Module, nn.Module | None, nn.Module | None],
    optimizer: Mapping[str, Any],
    scheduler: Mapping[str, Any],
    *,
    total_steps: float,
    batches: float,
    accumulate: int = 1,
    modes: Mapping[str, Literal["max", "min"]],
) -> tuple[list[Optimizer], list[dict[str, Any]]]:
    """Build the optimizer, its step-wise schedule, and the plateau schedule.

    Args:
        parts: the network, the objective and the training method; the last two may be None.
        optimizer: options of :func:`~mfer_lightning.optim.optimizer_for`.
        scheduler: options of :func:`~mfer_lightning.optim.schedule_for` and of the plateau; ``monitor`` is a metric in
            ``modes``, by default the accuracy.
        total_steps: optimizer steps of the whole run; infinity if unknown.
        batches: batches per epoch; infinity if unbounded.
        accumulate: batches per optimizer step.
        modes: validation metric -> whether higher (``max``) or lower (``min``) is better.

    Raises:
        ValueError: if an option is unknown or out of range.
    """
    batches = int(min(batches, 10**9))
    network, objective, method = parts
    built = optimizer_for(network, objective, optimizer, method)
    monitor = scheduler.get("monitor") or "accuracy"
    if scheduler.get("name") == "plateau" and monitor not in modes:
        raise ValueError(f"Expected argument `monitor` to be one of {tuple(modes)}, but got {monitor!r}.")
    plateau = plateau_for(built, scheduler, modes.get(monitor, "max"))  # before the warm-up lowers the rates
    steps = max(1, math.ceil(batches / accumulate))
    schedule = schedule_for(built, scheduler, None if math.isinf(total_steps) else int(total_steps), steps)
    schedules: list[dict[str, Any]] = [{"scheduler": schedule, "interval": "step"}]
    if plateau is not None:
        # Step at the last batch, after validation: with interval="epoch", it would step after the epoch's checkpoint.
        last = {"interval": "step", "frequency": batches}
        schedules.append({"scheduler": plateau, "monitor": f"val/{monitor}", **last})
    return [built], schedules
