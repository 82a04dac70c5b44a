"""End training correctly at the step limit or after early stopping, and resume step-limited runs at an epoch."""

from __future__ import annotations

import lightning as L
from lightning.pytorch.callbacks import Callback


class EndOfTraining(Callback):
    """Validate after the last step, do not train a finished run further, and resume at an epoch boundary.

    Lightning 2.6 stops at ``max_steps`` in the middle of an epoch without validation, so the final weights are never
    evaluated. It trains one more epoch when a run that ended by early stopping is resumed (but not after a
    :class:`~lightning.pytorch.callbacks.Timer`). And with ``max_steps``, it treats a checkpoint from the end of an
    epoch as one from within the epoch, and ends that epoch a second time.
    """

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Resume step-limited runs like epoch-limited ones: runs resume at the end of an epoch."""
        trainer.fit_loop._iteration_based_training = lambda: False  # type: ignore[method-assign]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop immediately if an earlier start ended by early stopping."""
        if any(c.stopped_epoch > 0 or c.wait_count >= c.patience > 0 for c in trainer.early_stopping_callbacks):
            trainer.should_stop = True

    def on_train_batch_end(self, trainer: L.Trainer, *_: object) -> None:
        """Request a stop after the last step, which makes Lightning validate first."""
        if 0 < trainer.max_steps <= trainer.global_step:
            trainer.should_stop = True
