"""Estimate how long a training on a CPU takes, and say so before it starts where that is hours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Timer

#: Hours from which the user is told.
LONG = 3.0

#: What a core does in a second of training, thousand million operations: about what our networks reached on each of two
#: cores of an AMD EPYC, with AVX2 in float32 and with AVX-512 BF16 in bfloat16.
RATE = {"32-true": 70.0, "bf16-mixed": 140.0}

#: Up to here (thousand million multiply-adds a face) the epochs are what makes a run long, not the network.
SMALL = 0.2


def note_on_duration(
    config: Mapping[str, Any], gflops: float, faces: int, epochs: int, cores: int, precision: str
) -> str | None:
    """Say that a training on a CPU will take hours, and what to do.

    Args:
        config: plain resolved configuration.
        gflops: the network's arithmetic for one face forwards, thousand million multiply-adds.
        faces: of an epoch.
        epochs: that are left.
        cores: that this run uses.
        precision: the arithmetic in use.

    Returns:
        A sentence; None below :data:`LONG` hours.

    Example:
        >>> config = {"backbone": {"options": None}, "preprocess": {"size": 224}}
        >>> note_on_duration(config, 20.5, 12271, 120, 2, "32-true").partition(" (")[0]  # the paper's network on RAF-DB
        'this will take about 359 hours on 2 CPU cores, by a rough count'
        >>> note_on_duration(config, 0.02, 10000, 12, 2, "32-true") is None
        True
    """
    operations = 2 * 3 * gflops * faces * epochs  # a multiply-add is two; backwards takes twice what forwards does
    hours = operations / (RATE.get(precision, RATE["32-true"]) * max(cores, 1)) / 3600
    if hours < LONG:
        return None
    advice = "fewer epochs (trainer.max_epochs=...)"
    if gflops > SMALL:
        advice = "a smaller network and smaller faces"
        if not config["backbone"].get("options"):
            advice += ", e.g. backbone=convnext_atto preprocess.size=64"
    return (
        f"this will take about {hours:,.0f} hours on {cores} CPU core{'s' * (cores > 1)}, by a rough count "
        f"({gflops:.3g} GFLOPs a face, {faces:,} faces, {epochs} epochs). Where there is no GPU, choose {advice}"
    )


def note_on_time(trainer: L.Trainer) -> str | None:
    """Say so where ``trainer.max_time`` or a timer has ended a training, which goes into the notes of its result."""
    timers = [c for c in trainer.callbacks if isinstance(c, Timer)]  # type: ignore[attr-defined]
    if trainer.global_step >= trainer.estimated_stepping_batches:
        return None
    if not any((left := timer.time_remaining()) is not None and left <= 0 for timer in timers):
        return None
    return (
        f"The time limit ended the training in epoch {trainer.current_epoch}, after {trainer.global_step} steps: the "
        "same command on another machine trains for another number of steps."
    )
