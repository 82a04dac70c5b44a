"""Steps of a training run as ``mfer train`` makes it, timed from within."""

from __future__ import annotations

import io
import logging
import time
import warnings
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from mfer_lightning.benchmark.device import Device
from mfer_lightning.benchmark.timing import Sample
from mfer_lightning.callbacks import History, RunCheckpoint
from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.module import FERModule
from mfer_lightning.training.build_trainer import build_trainer

#: Steps at the start of an epoch that are not measured, at the least.
SKIPPED = 2


class Clock(Callback):
    """Time from the start of one training batch to the start of a later one."""

    def __init__(self, first: int, last: int, device: Device) -> None:
        self.first, self.last = first, last
        self.device = device
        self.sample = Sample(0.0, 0.0)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Start and stop the clocks."""
        if batch_idx not in (self.first, self.last):
            return
        self.device.synchronise()
        now = Sample(time.perf_counter(), time.process_time())
        if batch_idx == self.first:
            self._from = now
        else:
            self.sample = Sample(now.wall - self._from.wall, now.cpu - self._from.cpu)


def timed_fit(
    module: FERModule,
    datamodule: FaceDataModule,
    config: Mapping[str, Any],
    folder: Path,
    steps: int,
    device: Device,
    skipped: int = SKIPPED,
) -> Sample:
    """Train for an epoch with the trainer that ``mfer train`` builds, and time some of its steps.

    Args:
        module: see :func:`~mfer_lightning.training.build.build_module`.
        datamodule: set up; an epoch has more than ``skipped + steps`` batches.
        config: composed configuration of ``mfer train``.
        folder: for the run's files.
        steps: that are timed.
        device: which the trainer uses.
        skipped: steps before the first that is timed.

    Returns:
        Of all these steps together.
    """
    for name in ("lightning.pytorch", "lightning.fabric", "mfer_lightning"):  # the table is what is to be seen
        logging.getLogger(name).setLevel(logging.ERROR)
    trainer = build_trainer(config, folder, datamodule.protocol.monitor, History(folder / "metrics.csv"))
    clock = Clock(skipped, skipped + steps, device)
    # Checkpoints are written at the end of the epoch, when the clock has stopped: gigabytes, for nothing.
    kept = [callback for callback in trainer.callbacks if not isinstance(callback, RunCheckpoint)]  # type: ignore[attr-defined]
    trainer.callbacks = [*kept, clock]  # type: ignore[attr-defined]
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(module, datamodule=datamodule)
    return clock.sample
