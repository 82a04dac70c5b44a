"""Ending a run whose validation figure no longer rises."""

from __future__ import annotations

import lightning as L
from lightning.pytorch.callbacks import EarlyStopping

#: Validation figures that can be watched, and whether more or less of each is better.
MODES = {"accuracy": "max", "mean_class_accuracy": "max", "macro_f1": "max", "nll": "min"}


class EarlyStop(EarlyStopping):
    """Stop after some epochs without a better validation figure.

    Differs from Lightning's in that the state is that of the whole epoch when its checkpoint is written, and that a run
    which was killed after its last epoch does not train another one when it is resumed.

    Args:
        monitor: one of :data:`MODES`, without ``val/``.
        patience: epochs without a better figure, at least 1.
        min_delta: a figure must be better by more than this, >= 0.

    Raises:
        ValueError: where an argument is not legal.
    """

    def __init__(self, monitor: str = "accuracy", patience: int = 10, min_delta: float = 0.0) -> None:
        if monitor not in MODES:
            raise ValueError(f"Expected argument `monitor` to be one of {tuple(MODES)}, but got {monitor!r}.")
        if patience < 1:
            raise ValueError(f"Expected argument `patience` to be at least 1, but got {patience}.")
        if not 0 <= min_delta < float("inf"):
            raise ValueError(f"Expected argument `min_delta` to be a finite number >= 0, but got {min_delta}.")
        super().__init__(
            monitor=f"val/{monitor}",
            mode=MODES[monitor],
            patience=patience,
            min_delta=min_delta,
            check_on_train_epoch_end=True,  # after validation, before the checkpoint of the epoch
        )

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop at once where an earlier start had come to its end."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Say why the run is shorter than it was to be."""
        if self.wait_count >= self.patience and trainer.is_global_zero:
            print(
                f"Stopped early: {self.monitor} has not risen above {float(self.best_score):.4f} for "
                f"{self.patience} epochs."
                if self.mode == "max"
                else f"Stopped early: {self.monitor} has not fallen below {float(self.best_score):.4f} for "
                f"{self.patience} epochs.",
                flush=True,
            )
