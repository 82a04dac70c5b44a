"""Seed torch's generators at each training step, so that a resumed run equals an uninterrupted one."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from mfer_lightning.data.seeding import STREAM_LAYERS, hashes


class StepSeed(Callback):
    """Make the random numbers of layers (drop path, dropout) a function of the seed, epoch, batch and rank.

    Checkpoints do not store the state of torch's generators, so without this callback, a resumed run would draw
    different random numbers from those of an uninterrupted run. Seeding at the start of an epoch is not enough, because
    Lightning skips that hook when training resumes in the middle of an epoch.

    Args:
        seed: random seed of the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed the generators of the CPU and of every GPU."""
        place = batch_idx * trainer.world_size + trainer.global_rank
        drawn = hashes(self.seed, trainer.current_epoch, place, STREAM_LAYERS)
        torch.manual_seed(int(drawn[0]) >> 1)  # 63 bits fit into a signed integer
