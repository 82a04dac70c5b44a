"""Log the columns of ``metrics.csv`` that Lightning does not log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

#: Columns of ``metrics.csv`` to log; losses and validation metrics reach the loggers through Lightning.
HANDED_ON = ("lr", "seconds", "images_per_second")


class EpochCurves(Callback):
    """Log learning rate, duration and throughput of each epoch, so that the loggers have all curves.

    Must come after the callback that creates the row.

    Args:
        latest: returns the newest row of ``metrics.csv``.
    """

    def __init__(self, latest: Callable[[], Mapping[str, Any]]) -> None:
        self.latest = latest

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the values of this epoch, in the same row as its losses."""
        row = self.latest()
        pl_module.log_dict({name: float(row[name]) for name in HANDED_ON if row.get(name) not in (None, "")})
