"""Log what ``metrics.csv`` holds of an epoch and Lightning does not log itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

#: Columns of ``metrics.csv`` that are handed on; losses and validation figures reach the loggers through Lightning.
HANDED_ON = ("lr", "seconds", "images_per_second")


class EpochCurves(Callback):
    """Hand learning rate, duration and throughput of each epoch to the loggers, so that they hold every curve.

    Stands after the callback that makes the row.

    Args:
        latest: gives the newest row of ``metrics.csv``.
    """

    def __init__(self, latest: Callable[[], Mapping[str, Any]]) -> None:
        self.latest = latest

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the figures of this epoch, in the same row as its losses."""
        row = self.latest()
        pl_module.log_dict({name: float(row[name]) for name in HANDED_ON if row.get(name) not in (None, "")})
