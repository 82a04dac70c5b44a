"""Lightning's progress bar with the most important metrics, on one line of an 80-column terminal."""

from __future__ import annotations

import math
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.callbacks.progress.rich_progress import CustomBarColumn, RichProgressBarTheme

#: Metrics to show, with their short names; the others go to the loggers only.
SHOWN = {"loss": "loss", "val/accuracy": "val acc", "val/mean_class_accuracy": "val mean-class"}

#: Terminal width below which the last metric is left out, to keep the bar on one line.
WIDE = 110


def shown_metrics(metrics: dict[str, Any]) -> dict[str, str]:
    """Select the most important metrics, with short names and few digits.

    Example:
        >>> shown_metrics({"loss": 1.23456, "val/accuracy": 0.5, "val/nll": 2.0})
        {'loss': '1.235', 'val acc': '0.500'}
    """
    return {short: f"{float(metrics[name]):.3f}" for name, short in SHOWN.items() if name in metrics}


def planned_epochs(trainer: L.Trainer) -> int:
    """Return the planned number of epochs, including one that ``max_steps`` ends early; 0 if there is no limit."""
    limits = [trainer.max_epochs] if trainer.max_epochs is not None and trainer.max_epochs > 0 else []
    if trainer.max_steps > 0:
        steps = max(math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches), 1)
        limits.append(math.ceil(trainer.max_steps / steps))
    return min(limits, default=0)


class FERProgressBar(RichProgressBar):
    """Lightning's rich progress bar, reduced to the most important metrics. Epochs count from 1."""

    def __init__(self) -> None:
        super().__init__(theme=RichProgressBarTheme(metrics_format=".3f"), leave=False)

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        """Return the metrics at the right end of the bar."""
        shown = shown_metrics({**trainer.callback_metrics, **trainer.progress_bar_metrics})
        if self._console is not None and self._console.width < WIDE:
            shown.pop(SHOWN["val/mean_class_accuracy"], None)
        return dict(shown)

    def configure_columns(self, trainer: L.Trainer) -> list[Any]:
        """Return Lightning's columns; on a narrow terminal, without the speed and with a bar of 10 characters."""
        columns = super().configure_columns(trainer)
        if self._console is not None and self._console.width < WIDE:
            columns = columns[:-1]
            for column in columns:
                if isinstance(column, CustomBarColumn):
                    column.bar_width = 10
        return columns

    def _get_train_description(self, current_epoch: int) -> str:
        last = planned_epochs(self.trainer)
        total = f"/{last}" if last > 0 else ""
        return f"{f'Epoch {current_epoch + 1}{total}':{len(self.validation_description)}}"
