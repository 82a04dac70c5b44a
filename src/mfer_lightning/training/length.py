"""Compute the number of epochs of a training run from its limits in epochs and steps; check validation intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mfer_lightning.errors import UserError
from mfer_lightning.plurals import counted


def steps_per_epoch(config: Mapping[str, Any], faces: int) -> int:
    """Count the optimiser steps of an epoch.

    Args:
        config: plain resolved configuration.
        faces: size of the training set.
    """
    accumulated: int = config["trainer"]["accumulate_grad_batches"]
    return max(math.ceil(_batches(config, faces) / accumulated), 1)


def planned_epochs(config: Mapping[str, Any], faces: int) -> int:
    """Count the epochs of a training run, including an epoch that ``max_steps`` ends early.

    Args:
        config: plain resolved configuration, with ``max_epochs`` or ``max_steps``.
        faces: size of the training set.

    Example:
        >>> config = {"trainer": {"max_epochs": None, "max_steps": 20, "accumulate_grad_batches": 1,
        ...                       "limit_train_batches": None}, "loader": {"batch_size": 16}}
        >>> planned_epochs(config, faces=130)  # 8 steps an epoch
        3
    """
    epochs, steps = config["trainer"]["max_epochs"], config["trainer"]["max_steps"]
    limits = [epochs] if epochs is not None and epochs > 0 else []
    if steps > 0:
        limits.append(math.ceil(steps / steps_per_epoch(config, faces)))
    return int(min(limits))


def check_length(config: Mapping[str, Any], faces: int) -> str | None:
    """Reject validation intervals that are longer than an epoch or the run, or shorter than one batch.

    Args:
        config: plain resolved configuration.
        faces: size of the training set.

    Returns:
        A note if the run is shorter than ``max_steps``, otherwise None.

    Raises:
        UserError: if an interval is too long or too short.
    """
    options, batches = config["trainer"], _batches(config, faces)
    interval, every = options["val_check_interval"], options["check_val_every_n_epoch"]
    epochs, per_epoch = planned_epochs(config, faces), steps_per_epoch(config, faces)
    if isinstance(interval, int) and every is not None and interval > batches:
        raise UserError(
            f"trainer.val_check_interval={interval}: an epoch has {counted(batches, 'batch')}. Use at most {batches}, "
            "or count across epochs with trainer.check_val_every_n_epoch=null."
        )
    if isinstance(interval, float) and interval * batches < 1:
        raise UserError(
            f"trainer.val_check_interval={interval}: an epoch has {counted(batches, 'batch')}, so this fraction is "
            "less than one batch."
        )
    if every is not None and every > epochs:
        raise UserError(
            f"trainer.check_val_every_n_epoch={every}: the run has {counted(epochs, 'epoch')}, so validation would "
            f"never run. Use at most {epochs}."
        )
    if 0 < epochs * per_epoch < options["max_steps"]:
        return (
            f"trainer.max_steps={options['max_steps']} is not reached, because trainer.max_epochs={epochs} ends the "
            f"run after {counted(epochs * per_epoch, 'step')}. trainer.max_epochs=null removes this limit"
        )
    return None


def _batches(config: Mapping[str, Any], faces: int) -> int:
    """Count the training batches per epoch, with ``trainer.limit_train_batches``."""
    limit = config["trainer"]["limit_train_batches"]
    batches = faces // max(min(int(config["loader"]["batch_size"]), faces), 1)
    if isinstance(limit, float):
        return int(batches * limit)
    return batches if limit is None else min(int(limit), batches)
