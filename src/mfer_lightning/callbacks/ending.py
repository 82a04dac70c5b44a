"""End a training properly where it ends before its last epoch is through."""

from __future__ import annotations

import lightning as L
from lightning.pytorch.callbacks import Callback


class EndOfTraining(Callback):
    """Validate after the last step, and do not train a run further that had come to its end.

    Lightning ends a training at ``max_steps`` in the middle of an epoch without validating, so that its last weights
    are never measured. And it resumes a run that early stopping has ended, which then trains one more epoch; what time
    has ended (:class:`~lightning.pytorch.callbacks.Timer`) stays ended.
    """

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop at once where an earlier start had been stopped early."""
        if any(c.stopped_epoch > 0 or c.wait_count >= c.patience > 0 for c in trainer.early_stopping_callbacks):
            trainer.should_stop = True

    def on_train_batch_end(self, trainer: L.Trainer, *_: object) -> None:
        """Ask to stop after the last step, which makes Lightning validate first."""
        if 0 < trainer.max_steps <= trainer.global_step:
            trainer.should_stop = True
