"""Report the metrics of a search trial to its study, and stop the trial if the study prunes it."""

from __future__ import annotations

from collections.abc import Callable

import lightning as L
from lightning.pytorch.callbacks import Callback

from mfer_lightning.errors import TrialPrunedError


class PruneTrial(Callback):
    """After each epoch that includes validation, ask the study whether to prune the trial.

    The first rank asks, and all ranks stop together.

    Args:
        monitor: the logged metric of the search, e.g. ``"val/accuracy"``.
        report: called with the epoch (from 0) and the value of the metric; returns whether to prune the trial.
    """

    def __init__(self, monitor: str, report: Callable[[int, float], bool]) -> None:
        self.monitor = monitor
        self.report = report
        self._validated = False

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Record that there is a new value."""
        self._validated = not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Report the metric of the epoch.

        Raises:
            TrialPrunedError: on all ranks, if the study prunes the trial. A trial is not pruned after its last epoch.
        """
        if not self._validated or self.monitor not in trainer.callback_metrics:
            return
        self._validated = False
        epoch = trainer.current_epoch
        figure = float(trainer.callback_metrics[self.monitor])
        stop = self.report(epoch, figure) if trainer.is_global_zero else False
        if trainer.strategy.broadcast(stop) and epoch + 1 != trainer.max_epochs:
            raise TrialPrunedError(f"The study pruned the trial after epoch {epoch + 1} ({self.monitor} {figure:.4f}).")
