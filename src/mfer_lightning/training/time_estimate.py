"""Estimate the duration of training on a CPU, and warn before it starts if it takes hours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Timer

from mfer_lightning.plurals import counted

#: Minimum number of hours for a warning.
LONG = 3.0

#: Billions of operations per second per core in training: about what our networks reached on each of two cores of an
#: AMD EPYC, with AVX2 in float32 and with AVX-512 BF16 in bfloat16.
RATE = {"32-true": 70.0, "bf16-mixed": 140.0}

#: Up to this size (billions of multiply-adds per face), a smaller network would not shorten a run much.
SMALL = 0.2


def note_on_duration(
    config: Mapping[str, Any], gflops: float, faces: int, epochs: int, cores: int, precision: str
) -> str | None:
    """Return a note that training on a CPU will take hours, with advice.

    Args:
        config: plain resolved configuration.
        gflops: multiply-adds of the network's forward pass per face, in billions, multiplied by the relative cost of
            the training method.
        faces: faces per epoch.
        epochs: remaining epochs.
        cores: CPU cores used by the run.
        precision: the precision in use.

    Returns:
        A sentence; None below :data:`LONG` hours.

    Example:
        >>> config = {"backbone": {"options": None}, "preprocess": {"size": 224}}
        >>> note_on_duration(config, 20.5, 12271, 120, 2, "32-true").partition(" (")[0]  # the paper's network on RAF-DB
        'this will take about 359 hours on 2 CPU cores, by a rough estimate'
        >>> note_on_duration(config, 0.02, 10000, 12, 2, "32-true") is None
        True
    """
    operations = 2 * 3 * gflops * faces * epochs  # a multiply-add is two operations; backward takes twice forward
    hours = operations / (RATE.get(precision, RATE["32-true"]) * max(cores, 1)) / 3600
    if hours < LONG:
        return None
    advice = "fewer epochs (trainer.max_epochs=...)"
    if gflops > SMALL:
        advice = "a smaller network and smaller faces"
        if not config["backbone"].get("options"):
            advice += ", e.g. backbone=convnext_atto preprocess.size=64"
    return (
        f"this will take about {counted(round(hours), 'hour')} on {counted(cores, 'CPU core')}, by a rough estimate "
        f"({gflops:.3g} GFLOPs per face, {counted(faces, 'face')}, {counted(epochs, 'epoch')}). Without a GPU, choose "
        f"{advice}"
    )


def note_on_time(trainer: L.Trainer) -> str | None:
    """Return a note for ``result.json`` if ``trainer.max_time`` or a timer callback ended the training."""
    timers = [c for c in trainer.callbacks if isinstance(c, Timer)]  # type: ignore[attr-defined]
    if trainer.global_step >= trainer.estimated_stepping_batches:
        return None
    if not any((left := timer.time_remaining()) is not None and left <= 0 for timer in timers):
        return None
    return (
        f"The time limit ended the training in epoch {trainer.current_epoch}, after "
        f"{counted(trainer.global_step, 'step')}. The "
        "same command on another machine trains for a different number of steps."
    )
