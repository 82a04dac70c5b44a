"""Stop a run whose validation metric no longer improves."""

from __future__ import annotations

import lightning as L
from lightning.pytorch.callbacks import EarlyStopping

from mfer_lightning.errors import check_number

#: Validation figures that can be watched, and whether more or less of each is better.
MODES = {"accuracy": "max", "mean_class_accuracy": "max", "macro_f1": "max", "nll": "min"}


class EarlyStop(EarlyStopping):
    """Stop after some validations, one an epoch as a rule, without a better figure.

    Differs from Lightning's in its arguments, and in saying why the run is shorter than it was to be. That a stopped
    run is not trained further when it is resumed is the work of :class:`~mfer_lightning.callbacks.EndOfTraining`.

    Args:
        monitor: one of :data:`MODES`, or with ``mode`` any figure; without ``val/``.
        patience: validations without a better figure, at least 1.
        min_delta: a figure must be better by more than this, >= 0.
        mode: whether more (``max``) or less (``min``) is better; None: as in :data:`MODES`.

    Raises:
        ValueError: if an argument is not legal.
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
        """Say why the run is shorter than it was to be."""
        if self.wait_count >= self.patience and trainer.is_global_zero:
            moved = "risen above" if self.mode == "max" else "fallen below"
            best = float(self.best_score)
            every = "epochs" if self._check_on_train_epoch_end else "validations"
            print(f"Stopped early: {self.monitor} has not {moved} {best:.4f} for {self.patience} {every}.", flush=True)
