"""Learning-rate schedules as one factor a step, the same for every parameter group."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from mfer_lightning.errors import check_count, check_number

#: Share of a run's epochs that is warm-up where the run is too short for the warm-up asked for.
SHORT_WARMUP = 0.2

log = logging.getLogger("mfer_lightning")

#: Names that :func:`build_schedule` takes.
SCHEDULES = ("constant", "cosine", "exponential", "step")


def schedule_factor(
    step: int,
    *,
    name: str,
    total_steps: int,
    steps_per_epoch: int,
    warmup_steps: int = 0,
    gamma: float = 0.95,
    min_lr_ratio: float = 0.0,
    milestones: Sequence[int] = (),
) -> float:
    r"""Return the factor of the learning rate at an optimizer step.

    With w warm-up steps, ``s = step - w``, e steps an epoch and m the smallest factor::

        warm-up      (step + 1) / w                                         for step < w
        constant     1
        cosine       m + (1 - m) (1 + cos(pi s / (total_steps - w))) / 2
        exponential  max(m, gamma ** floor(s / e))                          one fall an epoch, as the paper's
        step         max(m, gamma ** #{milestones <= floor(step / e)})      milestones in epochs of the run

    Args:
        step: from 0.
        name: one of :data:`SCHEDULES`.
        total_steps: where cosine ends; beyond, it stays at its smallest.
        steps_per_epoch: e.
        warmup_steps: w.
        gamma: of exponential and step.
        min_lr_ratio: m.
        milestones: of step.

    Example:
        >>> options = {"name": "cosine", "total_steps": 10, "steps_per_epoch": 5, "warmup_steps": 2}
        >>> [round(schedule_factor(s, **options), 2) for s in (0, 1, 2, 6, 10, 99)]
        [0.5, 1.0, 1.0, 0.5, 0.0, 0.0]
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    past = step - warmup_steps
    if name == "cosine":
        progress = min(1.0, past / max(1, total_steps - warmup_steps))
        return min_lr_ratio + (1 - min_lr_ratio) * 0.5 * (1 + math.cos(math.pi * progress))
    if name == "exponential":
        return max(min_lr_ratio, gamma ** (past // steps_per_epoch))
    if name == "step":
        return max(min_lr_ratio, gamma ** sum(step // steps_per_epoch >= m for m in milestones))
    return 1.0


def build_schedule(
    optimizer: Optimizer,
    name: str,
    total_steps: int,
    steps_per_epoch: int,
    warmup_epochs: float = 0,
    gamma: float = 0.95,
    min_lr_ratio: float = 0.0,
    milestones: Sequence[int] = (),
) -> LambdaLR:
    """Build a schedule whose ``step()`` is called after every optimizer step (Lightning: ``interval="step"``).

    All is multiplicative, so the ratios between groups stay. Nothing of the schedule but the step count is kept in a
    checkpoint: a run resumed with other settings follows the new ones.

    Args:
        optimizer: its groups' rates are those at factor 1.
        name: ``constant``, ``cosine``, ``exponential`` or ``step``, see :func:`schedule_factor`.
        total_steps: optimizer steps of the whole run, >= 1.
        steps_per_epoch: optimizer steps an epoch, >= 1.
        warmup_epochs: epochs (also fractions) of linear warm-up, >= 0 and less than the whole run.
        gamma: factor an epoch (exponential; the paper's 0.95) or a milestone (step), within (0, 1].
        min_lr_ratio: smallest factor, within [0, 1].
        milestones: epochs at which ``step`` falls, rising.

    Returns:
        The scheduler.

    Raises:
        ValueError: where an argument is not legal.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        >>> schedule = build_schedule(optimizer, "exponential", total_steps=4, steps_per_epoch=2)
        >>> rates = []
        >>> for _ in range(4):
        ...     rates += schedule.get_last_lr()
        ...     optimizer.step()
        ...     schedule.step()
        >>> rates
        [1.0, 1.0, 0.95, 0.95]
    """
    if name not in SCHEDULES:
        raise ValueError(f"Expected argument `name` to be one of {SCHEDULES}, but got {name!r}.")
    check_count("total_steps", total_steps)
    check_count("steps_per_epoch", steps_per_epoch)
    if not 0 <= warmup_epochs * steps_per_epoch < total_steps:
        raise ValueError(
            "Expected argument `warmup_epochs` to be >= 0 and shorter than the run of "
            f"{total_steps / steps_per_epoch:g} epochs, but got {warmup_epochs!r}."
        )
    check_number("gamma", gamma, 0, 1, excluded="low")
    check_number("min_lr_ratio", min_lr_ratio, 0, 1)
    milestones = tuple(int(m) for m in milestones)
    if list(milestones) != sorted(set(milestones)) or any(m < 0 for m in milestones):
        raise ValueError(f"Expected argument `milestones` to be rising epochs >= 0, but got {milestones}.")
    if name == "step" and not milestones:
        raise ValueError("Expected argument `milestones` to name at least one epoch for the schedule 'step'.")
    factor = partial(
        schedule_factor,
        name=name,
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
        warmup_steps=round(warmup_epochs * steps_per_epoch),
        gamma=gamma,
        min_lr_ratio=min_lr_ratio,
        milestones=milestones,
    )
    return LambdaLR(optimizer, factor)


def schedule_for(optimizer: Optimizer, options: Mapping[str, Any], total_steps: int, steps_per_epoch: int) -> LambdaLR:
    """Build the schedule of a training; a run too short for its warm-up has a shorter one.

    Args:
        optimizer: its groups' rates are those at factor 1.
        options: of :func:`build_schedule`; None values are left out.
        total_steps: optimizer steps of the whole run.
        steps_per_epoch: optimizer steps of an epoch; the last one of a run may be cut short.

    Raises:
        ValueError: where an option is not legal.
    """
    chosen = {k: v for k, v in options.items() if v is not None}
    epochs = total_steps / steps_per_epoch
    if chosen.get("warmup_epochs", 0) >= epochs:
        log.warning("The run of %g epochs is too short for its warm-up; a fifth of it is warm-up.", epochs)
        chosen["warmup_epochs"] = SHORT_WARMUP * epochs
    return build_schedule(optimizer, total_steps=total_steps, steps_per_epoch=steps_per_epoch, **chosen)
