"""Write metrics.csv: one row per epoch, kept when a run is resumed."""

from __future__ import annotations

import csv
import io
import statistics
import time
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from torch.optim import Optimizer

from mfer_lightning.errors import UserError
from mfer_lightning.files import write_text
from mfer_lightning.module import FERModule

#: First columns of every run, in this order; loss terms and metrics follow.
LEADING = ("epoch", "step", "lr", "seconds", "images_per_second")


def network_rate(optimizer: Optimizer) -> float:
    """Return the largest learning rate of the parameter groups, excluding the centres of a feature loss."""
    groups = [g for g in optimizer.param_groups if g.get("name") != "centers"]
    return float(max(g["lr"] for g in groups))


class History(Callback):
    """Write one row per epoch to ``metrics.csv``, before the checkpoint of that epoch is saved.

    If a run is resumed, rows of epochs that will be repeated are dropped, and all others are kept. (Lightning's
    ``CSVLogger`` deletes the file.)

    Args:
        path: the file; if it exists, its rows are read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.rows: list[dict[str, Any]] = self._read()
        self._epoch_started = 0.0
        self._images = 0
        self._validated = False

    @property
    def images_per_second(self) -> float | None:
        """Median training throughput of all devices over the epochs; None before the end of the first epoch."""
        rates = [float(r["images_per_second"]) for r in self.rows if r.get("images_per_second")]
        return statistics.median_high(rates) if rates else None

    @property
    def seconds(self) -> float:
        """Total time of all epochs in seconds, including validation and epochs before the run was resumed."""
        return sum(float(r["seconds"]) for r in self.rows)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Drop the rows of epochs that will be repeated."""
        self.rows = [row for row in self.rows if int(row["epoch"]) < trainer.current_epoch]

    def _read(self) -> list[dict[str, Any]]:
        if not self.path.is_file():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            return [dict(row) for row in csv.DictReader(file) if (row.get("epoch") or "").isdigit()]

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the timer."""
        self._epoch_started = time.perf_counter()
        self._train_seconds = 0.0
        self._images = 0
        self._validated = False

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Record that the epoch was validated. Without validation, Lightning keeps the metrics of an earlier epoch."""
        self._validated = not trainer.sanity_checking

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the images and the time."""
        self._images += len(batch["index"]) * trainer.world_size
        self._train_seconds = time.perf_counter() - self._epoch_started

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the row of this epoch."""
        assert isinstance(pl_module, FERModule)
        row: dict[str, Any] = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "lr": f"{network_rate(trainer.optimizers[0]):.6g}",
            "seconds": f"{time.perf_counter() - self._epoch_started:.2f}",
            "images_per_second": f"{self._images / max(self._train_seconds, 1e-9):.1f}",
        }
        row |= {k: f"{v:.6f}" for k, v in pl_module.train_means().items()}
        kinds = ("val/", "track_test/") if self._validated else ()
        evaluated = {k: v for k, v in trainer.callback_metrics.items() if k.startswith(kinds)}
        older = any("val/accuracy" in row for row in self.rows) and not any("val/loss" in row for row in self.rows)
        if older:  # a run started by an earlier version keeps its columns
            evaluated.pop("val/loss", None)
        row |= {k: f"{float(v):.6f}" for k, v in sorted(evaluated.items())}
        self.rows.append(row)
        if trainer.is_global_zero:
            self._write()

    def _write(self) -> None:
        if len(self.rows) > 1 and not self.path.is_file():
            raise UserError(
                f"{self.path} was deleted during training, so the run in {self.path.parent} is incomplete. Delete this "
                "folder and repeat the same command to start the run again."
            )
        names = list(LEADING) + [k for k in dict.fromkeys(k for r in self.rows for k in r) if k not in LEADING]
        text = io.StringIO()
        writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.path, text.getvalue())
