"""Show progress: a rich bar on a terminal, one line per epoch elsewhere."""

from __future__ import annotations

import time

import lightning as L
from lightning.pytorch.callbacks import Callback

from mfer_lightning.module import FERModule
from mfer_lightning.module.progress_bar import FERProgressBar as FERProgressBar
from mfer_lightning.module.progress_bar import planned_epochs, shown_metrics


class EpochLines(Callback):
    """Print one line per epoch, for logs and pipes, where a progress bar is not useful."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the timer."""
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Print the line, with the mean loss of the epoch."""
        assert isinstance(pl_module, FERModule)
        metrics = {**trainer.callback_metrics, "loss": pl_module.train_means()["train/loss"]}
        figures = "  ".join(f"{k} {v}" for k, v in shown_metrics(metrics).items())
        seconds = time.perf_counter() - self._started
        if trainer.is_global_zero:
            print(
                f"epoch {trainer.current_epoch + 1:3d}/{planned_epochs(trainer)}  {figures}  {seconds:6.0f} s",
                flush=True,
            )
