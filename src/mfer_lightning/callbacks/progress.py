"""Show progress: a rich bar on a terminal, one line an epoch elsewhere."""

from __future__ import annotations

import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback, RichProgressBar
from lightning.pytorch.callbacks.progress.rich_progress import RichProgressBarTheme

from mfer_lightning.module import FERModule

#: What is shown, and its short name; the rest is in metrics.csv.
SHOWN = {"loss": "loss", "val/accuracy": "val acc", "val/mean_class_accuracy": "val mean-class"}


def shown_metrics(metrics: dict[str, Any]) -> dict[str, str]:
    """Pick the figures that matter, with short names and few digits.

    Example:
        >>> shown_metrics({"loss": 1.23456, "val/accuracy": 0.5, "val/nll": 2.0})
        {'loss': '1.235', 'val acc': '0.500'}
    """
    return {short: f"{float(metrics[name]):.3f}" for name, short in SHOWN.items() if name in metrics}


class FERProgressBar(RichProgressBar):
    """Lightning's rich progress bar with the figures that matter and nothing else."""

    def __init__(self) -> None:
        super().__init__(theme=RichProgressBarTheme(metrics_format=".3f"), leave=False)

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        """Return what the bar shows at its right end."""
        return dict(shown_metrics(trainer.progress_bar_metrics))


class EpochLines(Callback):
    """One line an epoch, for logs and pipes, where a moving bar would only make noise."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Print the line, with the mean loss of the epoch."""
        assert isinstance(pl_module, FERModule)
        metrics = {**trainer.progress_bar_metrics, "loss": pl_module.train_means()["train/loss"]}
        figures = "  ".join(f"{k} {v}" for k, v in shown_metrics(metrics).items())
        seconds = time.perf_counter() - self._started
        if trainer.is_global_zero:
            print(f"epoch {trainer.current_epoch + 1:3d}/{trainer.max_epochs}  {figures}  {seconds:6.0f} s", flush=True)
