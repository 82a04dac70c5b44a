"""Seed torch's random numbers at each training step, so that a continued run draws what an undisturbed one does."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from mfer_lightning.data.seeding import STREAM_LAYERS, hashes


class StepSeed(Callback):
    """Make what layers draw in training (drop-path, dropout) a function of the seed, the epoch, the batch and the rank.

    Checkpoints do not hold the state of torch's generators. Without this, a run that is continued draws other numbers
    than one that was never interrupted. Not at the start of epochs: Lightning leaves that hook out in the first epoch
    of a run that is continued.

    Args:
        seed: the run's.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed the generators of the CPU and of every GPU."""
        place = batch_idx * trainer.world_size + trainer.global_rank
        drawn = hashes(self.seed, trainer.current_epoch, place, STREAM_LAYERS)
        torch.manual_seed(int(drawn[0] >> 1))  # 63 bits: it takes no more
