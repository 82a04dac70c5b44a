"""End a training properly where steps or early stopping end it, and resume one of steps at an epoch."""

from __future__ import annotations

import lightning as L
from lightning.pytorch.callbacks import Callback


class EndOfTraining(Callback):
    """Validate after the last step, do not train a run further that had come to its end, and resume at an epoch.

    Lightning 2.6 ends a training at ``max_steps`` in the middle of an epoch without validating, so that its last
    weights are never measured. It trains one more epoch where a run that early stopping had ended is resumed (what
    :class:`~lightning.pytorch.callbacks.Timer` has ended stays ended). And with ``max_steps`` it takes a checkpoint of
    the end of an epoch for one from within, and ends that epoch a second time.
    """

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Let a training of steps be resumed as one of epochs is: runs are resumed at the end of an epoch."""
        trainer.fit_loop._iteration_based_training = lambda: False  # type: ignore[method-assign]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop at once where an earlier start had been stopped early."""
        if any(c.stopped_epoch > 0 or c.wait_count >= c.patience > 0 for c in trainer.early_stopping_callbacks):
            trainer.should_stop = True

    def on_train_batch_end(self, trainer: L.Trainer, *_: object) -> None:
        """Ask to stop after the last step, which makes Lightning validate first."""
        if 0 < trainer.max_steps <= trainer.global_step:
            trainer.should_stop = True
