"""Stop a run when its loss is no longer finite."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from mfer_lightning.errors import UserError, check_number
from mfer_lightning.module import FERModule

#: Maximum number of batch rows in a message.
SHOWN_ROWS = 8


class TrainingDivergedError(UserError):
    """The loss or a weight became infinite or NaN."""


class _Seen(NamedTuple):
    """A batch since the last check: whether its loss is not finite, its number, its step and its rows."""

    bad: Tensor
    batch: int
    step: int
    rows: Tensor | None


class FiniteLossGuard(Callback):
    """Stop at the first loss that is not finite, and report where it happened.

    On the CPU, every loss is checked before the backward pass. On a GPU, a check synchronises with the device, so
    losses are checked every ``every`` batches and at the end of an epoch; the batches since the last check are
    recorded, so that the first one with a bad loss can be reported. At the end of each epoch, the weights are checked
    before their checkpoint is saved, so the last checkpoint always contains finite weights.

    All ranks check at the same time, and all stop if one of them finds a problem.

    Args:
        every: number of batches between two checks on a GPU, at least 1.

    Raises:
        TrainingDivergedError: during training, if the loss or a weight is not finite. The message gives the epoch, the
            step and the last good checkpoint, and for a loss also the batch and its rows.
        ValueError: if ``every`` is below 1.
    """

    def __init__(self, every: int = 50) -> None:
        self.every = check_number("every", every, 1)
        self._seen: list[_Seen] = []
        self._batch = 0

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Record the current batch."""
        self._batch = batch_idx

    def on_before_backward(self, trainer: L.Trainer, pl_module: L.LightningModule, loss: Tensor) -> None:
        """Check the loss."""
        assert isinstance(pl_module, FERModule)
        bad = ~torch.isfinite(loss.detach())
        self._seen.append(_Seen(bad, self._batch, trainer.global_step, pl_module.batch_index))
        if loss.device.type == "cpu" or len(self._seen) >= self.every:
            self._check(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Check the loss and the weights before the checkpoint of the epoch is saved."""
        self._check(trainer)
        if not all(bool(torch.isfinite(p).all()) for p in pl_module.parameters()):
            where = f"after epoch {trainer.current_epoch + 1}, step {trainer.global_step}"
            raise TrainingDivergedError(self._message(f"The weights are not finite numbers {where}", trainer))

    def _check(self, trainer: L.Trainer) -> None:
        seen, self._seen = self._seen, []
        if not seen:
            return
        any_bad = torch.stack([s.bad for s in seen]).any()
        if not trainer.strategy.reduce_boolean_decision(bool(any_bad), all=False):
            return
        first = next((s for s in seen if bool(s.bad)), None)
        found = None if first is None else self._where(first, trainer)
        if trainer.world_size > 1:
            others: list[str | None] = [None] * trainer.world_size
            torch.distributed.all_gather_object(others, found)
            found = next(text for text in others if text is not None)
        raise TrainingDivergedError(self._message(f"The loss is not a finite number {found}", trainer))

    def _where(self, seen: _Seen, trainer: L.Trainer) -> str:
        rows: list[int] = [] if seen.rows is None else seen.rows.tolist()
        index = getattr(getattr(trainer, "datamodule", None), "index", None)
        names = [str(row) if index is None else f"{row} ({index.path[row]})" for row in rows[:SHOWN_ROWS]]
        shown = ", ".join(names) + (", ..." if len(rows) > SHOWN_ROWS else "")
        rank = f" of rank {trainer.global_rank}" if trainer.world_size > 1 else ""
        return (
            f"in epoch {trainer.current_epoch + 1}, step {seen.step}, batch {seen.batch}{rank} "
            f"(rows of the batch: {shown})"
        )

    def _message(self, what: str, trainer: L.Trainer) -> str:
        folder = getattr(trainer.checkpoint_callback, "dirpath", None)
        path = Path(folder) / "last.ckpt" if folder else None
        last = path if path is not None and path.is_file() else "none yet"
        return (
            f"{what}. Last good checkpoint: {last}. "
            "Try a smaller learning rate (optimizer.lr=...), a longer warm-up (scheduler.warmup_epochs=...), "
            "a smaller loss.feature_weight, or float32 (trainer.precision=32-true)."
        )
