"""Stops a run whose loss is no longer a number."""

from __future__ import annotations

from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from mfer_lightning.errors import UserError
from mfer_lightning.module import FERModule

#: Rows of the batch that a message names.
SHOWN_ROWS = 8


class TrainingDivergedError(UserError):
    """The loss became infinite or not a number."""


class FiniteLossGuard(Callback):
    """Stop at the first loss that is not finite, before it reaches the weights, and say where it happened.

    On a GPU the loss is looked at every ``every`` batches and at the end of an epoch, because each look waits for the
    device. At the end of each epoch the weights are looked at too, before their checkpoint is written, so that the
    last checkpoint is good in any case.

    Args:
        every: batches between two looks on a GPU; on the CPU every batch is looked at.

    Raises:
        TrainingDivergedError: naming epoch, step, rows of the batch and the last good checkpoint.
    """

    def __init__(self, every: int = 50) -> None:
        self.every = every
        self._bad: Tensor | None = None

    def on_before_backward(self, trainer: L.Trainer, pl_module: L.LightningModule, loss: Tensor) -> None:
        """Look at the loss."""
        bad = ~torch.isfinite(loss.detach())
        self._bad = bad if self._bad is None else self._bad | bad
        if loss.device.type == "cpu" or trainer.global_step % self.every == 0:
            self._check(trainer, pl_module)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Look before the checkpoint of the epoch is written, at the weights as well."""
        self._check(trainer, pl_module)
        if not all(bool(torch.isfinite(p).all()) for p in pl_module.parameters()):
            raise TrainingDivergedError(self._message("The weights are not finite numbers", trainer, pl_module))

    def _check(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._bad is None or not bool(self._bad):
            self._bad = None
            return
        raise TrainingDivergedError(self._message("The loss is not a finite number", trainer, pl_module))

    def _message(self, what: str, trainer: L.Trainer, pl_module: L.LightningModule) -> str:
        assert isinstance(pl_module, FERModule)
        rows: list[int] = [] if pl_module.batch_index is None else pl_module.batch_index.tolist()
        index = getattr(getattr(trainer, "datamodule", None), "index", None)
        names = [str(row) if index is None else f"{row} ({index.path[row]})" for row in rows[:SHOWN_ROWS]]
        shown = ", ".join(names) + (", ..." if len(rows) > SHOWN_ROWS else "")
        folder = getattr(trainer.checkpoint_callback, "dirpath", None)
        path = Path(folder) / "last.ckpt" if folder else None
        last = path if path is not None and path.is_file() else "none yet"
        return (
            f"{what} in epoch {trainer.current_epoch + 1}, step {trainer.global_step} "
            f"(rows of the batch: {shown}). Last good checkpoint: {last}. "
            "Try a smaller learning rate (optimizer.lr=...), a longer warm-up (scheduler.warmup_epochs=...), "
            "a smaller loss.feature_weight, or float32 (trainer.precision=32-true)."
        )
