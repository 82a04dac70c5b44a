"""Learning-rate schedules as one factor per step, the same for every parameter group.

Papers: cosine, Loshchilov and Hutter, arXiv 1608.03983; onecycle, Smith and Topin, arXiv 1708.07120 (torch's phases);
wsd (warm-up, stable, decay), Hu et al., MiniCPM, arXiv 2404.06395, with the decay of Haegele et al., arXiv 2405.18392.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LinearLR, LRScheduler

from mfer_lightning.errors import Range, check_count, check_number, nearest

#: Fraction of the epochs used for warm-up if the run is too short for the requested warm-up.
SHORT_WARMUP = 0.2

log = logging.getLogger("mfer_lightning")

#: Legal names for :func:`build_schedule`.
SCHEDULES = ("constant", "cosine", "exponential", "onecycle", "plateau", "polynomial", "step", "wsd")

#: Schedules that end with the run and therefore need its length.
ENDING = ("cosine", "onecycle", "polynomial", "wsd")

#: Option -> the schedules that use it. All schedules use the options of the warm-up.
READERS: Mapping[str, tuple[str, ...]] = {
    "gamma": ("exponential", "step"),
    "milestones": ("step",),
    "min_lr_ratio": ("cosine", "exponential", "plateau", "polynomial", "step", "wsd"),
    "power": ("polynomial",),
    **dict.fromkeys(("pct_start", "div_factor", "final_div_factor"), ("onecycle",)),
    **dict.fromkeys(("decay_share", "decay_fn"), ("wsd",)),
    **dict.fromkeys(("monitor", "factor", "patience", "threshold", "cooldown"), ("plateau",)),
}


#: Legal ranges of the options of :func:`schedule_factor`.
RANGES: Mapping[str, Range] = {
    "gamma": Range(0, 1, "low"),
    "min_lr_ratio": Range(0, 1),
    "power": Range(0, excluded="low"),
    "pct_start": Range(0, 1, "high"),
    "div_factor": Range(1),
    "final_div_factor": Range(1),
    "decay_share": Range(0, 1, "low"),
}


def schedule_factor(
    step: int,
    *,
    name: str,
    total_steps: int | None,
    steps_per_epoch: int,
    warmup_steps: int = 0,
    gamma: float = 0.95,
    min_lr_ratio: float = 0.0,
    milestones: Sequence[int] = (),
    power: float = 1.0,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    decay_share: float = 0.2,
    decay_fn: str = "1-sqrt",
) -> float:
    r"""Return the learning-rate factor at an optimizer step.

    With w warm-up steps, ``s = step - w``, ``n = total_steps - w``, e steps per epoch and minimum factor m::

        warm-up      (step + 1) / w                                         for step < w
        constant     1
        cosine       m + (1 - m) (1 + cos(pi s / n)) / 2
        polynomial   m + (1 - m) (1 - s / n) ** power
        exponential  max(m, gamma ** floor(s / e))                          one reduction per epoch
        step         max(m, gamma ** #{milestones <= floor(step / e)})      milestones in epochs of the run
        wsd          m + (1 - m) (1 - sqrt(x)), or m + (1 - m) (1 - x) for a linear decay; x is the progress within the
                     last decay_share of total_steps, and 0 before
        onecycle     half a cosine from 1 / div_factor up to 1 in the first pct_start of n, then half a cosine down to
                     1 / (div_factor final_div_factor) at the last step

    Args:
        step: step counted from 0.
        name: a name in :data:`SCHEDULES` except ``plateau``.
        total_steps: step at which the schedules in :data:`ENDING` end; after that, the factor stays at its minimum.
        steps_per_epoch: e.
        warmup_steps: w.
        gamma: factor per epoch (exponential; 0.95 in MFER's released script) or per milestone (step), within (0, 1].
        min_lr_ratio: m, within [0, 1].
        milestones: epochs at which the schedule ``step`` lowers the rate, in increasing order.
        power: power of polynomial, > 0; 1 is linear.
        pct_start: fraction of n in which onecycle rises, within [0, 1).
        div_factor: peak divided by initial rate of onecycle, >= 1.
        final_div_factor: initial divided by final rate of onecycle, >= 1.
        decay_share: last fraction of the run, in which wsd decays, within (0, 1].
        decay_fn: shape of the wsd decay: ``1-sqrt`` or ``linear``.

    Example:
        >>> options = {"name": "cosine", "total_steps": 10, "steps_per_epoch": 5, "warmup_steps": 2}
        >>> [round(schedule_factor(s, **options), 2) for s in (0, 1, 2, 6, 10, 99)]
        [0.5, 1.0, 1.0, 0.5, 0.0, 0.0]
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    past = step - warmup_steps
    if name == "exponential":
        return max(min_lr_ratio, gamma ** (past // steps_per_epoch))
    if name == "step":
        return max(min_lr_ratio, gamma ** sum(step // steps_per_epoch >= m for m in milestones))
    if total_steps is None or name not in ENDING:
        return 1.0
    length = max(1, total_steps - warmup_steps)
    progress = min(1.0, past / length)
    if name == "cosine":
        return min_lr_ratio + (1 - min_lr_ratio) * 0.5 * (1 + math.cos(math.pi * progress))
    if name == "polynomial":
        return min_lr_ratio + (1 - min_lr_ratio) * math.pow(1 - progress, power)
    if name == "wsd":
        decay = min(length, decay_share * total_steps)
        over = min(1.0, max(0.0, (past - (length - decay)) / decay))
        return min_lr_ratio + (1 - min_lr_ratio) * (1 - (over if decay_fn == "linear" else math.sqrt(over)))
    peak, low = pct_start * length - 1, 1 / div_factor
    if past < peak:
        return 1 + (low - 1) / 2 * (1 + math.cos(math.pi * past / peak))
    low /= final_div_factor
    return low + (1 - low) / 2 * (1 + math.cos(math.pi * min(1.0, (past - peak) / (length - 1 - peak))))


def build_schedule(
    optimizer: Optimizer,
    name: str,
    total_steps: int | None,
    steps_per_epoch: int,
    warmup_epochs: float = 0,
    *,
    warmup_steps: int | None = None,
    **shape: Any,
) -> LRScheduler:
    """Build a schedule; call its ``step()`` after every optimizer step (Lightning: ``interval="step"``).

    All factors are multiplicative, so the ratios between groups are constant. Checkpoints store the step count and the
    base rates but not the options of :func:`schedule_factor`, so a run that is resumed with different options
    follows the new options. The warm-up of ``plateau`` is an exception: its length is stored.

    Args:
        optimizer: the current rates of its groups correspond to factor 1.
        name: a name in :data:`SCHEDULES`, see :func:`schedule_factor`. For ``plateau``, only the warm-up is built;
            combine it with :func:`build_plateau`.
        total_steps: optimizer steps of the whole run, >= 1; None if unknown, for schedules without an end.
        steps_per_epoch: optimizer steps per epoch, >= 1.
        warmup_epochs: epochs (may be fractional) of linear warm-up, >= 0 and less than the whole run.
        warmup_steps: warm-up in optimizer steps, instead of ``warmup_epochs``.
        **shape: options of :func:`schedule_factor`, from ``gamma`` on.

    Returns:
        The scheduler.

    Raises:
        ValueError: if an argument is out of range.

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
    if total_steps is not None:
        check_count("total_steps", total_steps)
    elif name in ENDING:
        raise ValueError(f"Expected argument `total_steps` to be known for the schedule {name!r}, but got None.")
    check_count("steps_per_epoch", steps_per_epoch)
    longest = math.inf if total_steps is None else total_steps
    if warmup_steps is not None:
        if check_count("warmup_steps", warmup_steps, 0) >= longest:
            raise ValueError(
                f"Expected argument `warmup_steps` to be less than the number of steps of the run, {total_steps}, but "
                f"got {warmup_steps}."
            )
    elif not 0 <= warmup_epochs * steps_per_epoch < longest:
        raise ValueError(
            "Expected argument `warmup_epochs` to be >= 0 and shorter than the run "
            f"(epochs: {longest / steps_per_epoch:g}), but got {warmup_epochs!r}."
        )
    for option, legal in RANGES.items():
        if option in shape:
            check_number(option, shape[option], *legal[:2], excluded=legal.excluded)
    if shape.get("decay_fn", "linear") not in ("1-sqrt", "linear"):
        raise ValueError(
            f"Expected argument `decay_fn` to be one of ('1-sqrt', 'linear'), but got {shape['decay_fn']!r}."
        )
    milestones = shape["milestones"] = tuple(int(m) for m in shape.get("milestones", ()))
    if list(milestones) != sorted(set(milestones)) or any(m < 0 for m in milestones):
        raise ValueError(f"Expected argument `milestones` to be increasing epochs >= 0, but got {milestones}.")
    if name == "step" and not milestones:
        raise ValueError("Expected argument `milestones` to name at least one epoch for the schedule 'step'.")
    warmup = round(warmup_epochs * steps_per_epoch) if warmup_steps is None else warmup_steps
    if name == "plateau":  # relative to the current rate, which the plateau schedule lowers
        return LinearLR(optimizer, start_factor=1 / max(warmup, 1), total_iters=max(warmup - 1, 1))
    counts: dict[str, Any] = {"total_steps": total_steps, "steps_per_epoch": steps_per_epoch, "warmup_steps": warmup}
    return LambdaLR(optimizer, partial(schedule_factor, name=name, **counts, **shape))


def schedule_for(
    optimizer: Optimizer, options: Mapping[str, Any], total_steps: int | None, steps_per_epoch: int
) -> LRScheduler:
    """Build the schedule of a training run, with a shorter warm-up if the run is too short for it.

    Args:
        optimizer: the current rates of its groups correspond to factor 1.
        options: of :func:`build_schedule`; None values are ignored, as are options that only ``plateau`` has.
        total_steps: optimizer steps of the whole run; None if unknown.
        steps_per_epoch: optimizer steps per epoch.

    Raises:
        ValueError: if an option is unknown or out of range.
    """
    chosen = {k: v for k, v in options.items() if v is not None and READERS.get(k) != ("plateau",)}
    legal = ["name", "warmup_epochs", "warmup_steps", *READERS]
    for option in chosen:
        if option not in legal:
            raise ValueError(f"A schedule has no option `{option}`: {nearest(option, legal)}")
    if total_steps is not None:
        epochs = total_steps / steps_per_epoch
        wanted = chosen.get("warmup_steps", 0), chosen.get("warmup_epochs", 0)
        if wanted[0] >= total_steps or ("warmup_steps" not in chosen and wanted[1] >= epochs):
            log.warning(
                "The run (epochs: %g) is too short for its warm-up, which is shortened to a fifth of the run.",
                epochs,
            )
            chosen.pop("warmup_steps", None)
            chosen["warmup_epochs"] = SHORT_WARMUP * epochs
    return build_schedule(optimizer, total_steps=total_steps, steps_per_epoch=steps_per_epoch, **chosen)
