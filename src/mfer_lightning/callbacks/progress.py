"""Show progress: a rich bar on a terminal, one line an epoch elsewhere."""

from __future__ import annotations

import math
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


def planned_epochs(trainer: L.Trainer) -> int:
    """Count the epochs of a training under way, one that ``max_steps`` ends in the middle included."""
    limits = [trainer.max_epochs] if trainer.max_epochs is not None and trainer.max_epochs > 0 else []
    if trainer.max_steps > 0:
        steps = max(math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches), 1)
        limits.append(math.ceil(trainer.max_steps / steps))
    return min(limits, default=0)


class FERProgressBar(RichProgressBar):
    """Lightning's rich progress bar with the figures that matter and nothing else."""

    def __init__(self) -> None:
        super().__init__(theme=RichProgressBarTheme(metrics_format=".3f"), leave=False)

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        """Return what the bar shows at its right end."""
        return dict(shown_metrics(trainer.progress_bar_metrics))

    def _get_train_description(self, current_epoch: int) -> str:
        """Count epochs from 1, and up to the last one also where steps say which that is."""
        text = f"Epoch {current_epoch + 1}/{planned_epochs(self.trainer)}"
        return f"{text:{len(self.validation_description)}}"


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
            print(
                f"epoch {trainer.current_epoch + 1:3d}/{planned_epochs(trainer)}  {figures}  {seconds:6.0f} s",
                flush=True,
            )
