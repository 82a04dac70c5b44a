"""End training correctly at the step limit and after early stopping, and resume step-limited runs between epochs."""

from __future__ import annotations

import lightning as L
from lightning.pytorch.callbacks import Callback


class EndOfTraining(Callback):
    """Validate after the last step, do not train a finished run further, and resume at an epoch boundary.

    This callback corrects three behaviours of Lightning 2.6. Lightning stops at ``max_steps`` in the middle of an epoch
    without validation, so the final weights are never evaluated. If a run that ended by early stopping is resumed,
    Lightning trains one more epoch (a run ended by a :class:`~lightning.pytorch.callbacks.Timer` is not affected). With
    ``max_steps``, Lightning treats a checkpoint from the end of an epoch as if it were from the middle of the epoch,
    and ends that epoch a second time.
    """

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Make runs limited by steps resume at the end of an epoch, like runs limited by epochs."""
        trainer.fit_loop._iteration_based_training = lambda: False  # type: ignore[method-assign]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop immediately if the resumed run had ended by early stopping."""
        if any(c.stopped_epoch > 0 or c.wait_count >= c.patience > 0 for c in trainer.early_stopping_callbacks):
            trainer.should_stop = True

    def on_train_batch_end(self, trainer: L.Trainer, *_: object) -> None:
        """After the last step, request a stop, which makes Lightning validate first."""
        if 0 < trainer.max_steps <= trainer.global_step:
            trainer.should_stop = True
