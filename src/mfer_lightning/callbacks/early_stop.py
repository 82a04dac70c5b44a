"""Stop a run when its validation metric no longer improves."""

from __future__ import annotations

import lightning as L
from lightning.pytorch.callbacks import EarlyStopping

from mfer_lightning.errors import check_number
from mfer_lightning.plurals import counted

#: Validation metrics that can be monitored, and whether higher or lower values are better.
MODES = {"accuracy": "max", "mean_class_accuracy": "max", "macro_f1": "max", "nll": "min"}


class EarlyStop(EarlyStopping):
    """Stop after several validations, usually one per epoch, without improvement.

    It has fewer arguments than Lightning's callback, and prints why the run is shorter than planned.
    :class:`~mfer_lightning.callbacks.EndOfTraining` ensures that resuming does not train a stopped run further.

    Args:
        monitor: a metric in :data:`MODES`, or any metric if ``mode`` is given; without the prefix ``val/``.
        patience: number of validations without improvement before training stops, at least 1.
        min_delta: minimum improvement that counts, >= 0.
        mode: whether higher (``max``) or lower (``min``) values are better; None: as in :data:`MODES`.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self, monitor: str = "accuracy", patience: int = 10, min_delta: float = 0.0, mode: str | None = None
    ) -> None:
        if mode is None and monitor not in MODES:
            raise ValueError(f"Expected argument `monitor` to be one of {tuple(MODES)}, but got {monitor!r}.")
        super().__init__(
            monitor=f"val/{monitor}",
            mode=mode or MODES[monitor],
            patience=check_number("patience", patience, 1),
            min_delta=check_number("min_delta", min_delta, 0),
        )

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Print why the run is shorter than planned."""
        if self.wait_count >= self.patience and trainer.is_global_zero:
            moved = "risen above" if self.mode == "max" else "fallen below"
            best = float(self.best_score)
            duration = counted(self.patience, "epoch" if self._check_on_train_epoch_end else "validation")
            print(
                f"Stopped early: {self.monitor} has not {moved} {best:.4f} by more than min_delta for {duration}.",
                flush=True,
            )
