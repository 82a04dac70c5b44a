"""Exponential moving average of the weights."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from mfer_lightning.errors import check_number

#: With a larger decay, each step would be too small for the precision of float32, and the average would not change.
LARGEST_DECAY = 0.9999999


class WarmEMA(WeightAveraging):
    """Keep a moving average of all weights and buffers from the first step, for validation, checkpoints and test.

    The first step copies the weights. At each later step n, counted from 0, the average moves towards the weights by
    ``1 - min(decay, (1 + n) / (10 + n))``. With this warm-up, the average of a run of a few hundred steps covers its
    last part instead of its start.

    Unlike Lightning's ``EMAWeightAveraging``, this callback has the warm-up, updates the tensors of each dtype in one
    ``foreach`` call, and tests a checkpoint after training (``ckpt_path="best"``) with the average stored in it.
    Lightning 2.6 would test its unaveraged weights instead.

    Args:
        decay: fraction of the average that is kept at each step after the warm-up, from 0 to :data:`LARGEST_DECAY`.

    Raises:
        ValueError: if ``decay`` is out of range.
    """

    def __init__(self, decay: float = 0.999) -> None:
        self.decay = check_number("decay", decay, 0, LARGEST_DECAY)
        super().__init__(multi_avg_fn=self._move)

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Restore the average if training resumes; otherwise, the module already contains the average."""
        if trainer.state.fn == TrainerFn.FITTING:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Use the average for validation during training."""
        if trainer.state.fn == TrainerFn.FITTING:
            super().on_validation_epoch_start(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Restore the weights."""
        if trainer.state.fn == TrainerFn.FITTING:
            super().on_validation_epoch_end(trainer, pl_module)

    def _move(self, averages: list[Tensor], weights: list[Tensor], _: Any) -> None:
        n = self._latest_update_step  # on the CPU: reading AveragedModel's counter would synchronise with the GPU
        decay = min(self.decay, (1 + n) / (10 + n))
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, weights, 1 - decay)
        else:  # counters, such as in BatchNorm
            torch._foreach_copy_(averages, weights)
