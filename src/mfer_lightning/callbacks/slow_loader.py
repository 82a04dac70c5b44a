"""Report once if training waits for its data loader, and suggest what to change."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from mfer_lightning.data.images.cache import available_cpus
from mfer_lightning.errors import check_number

#: Batches to ignore at the start of each epoch, while workers start, files are read from disk and blocks are compiled.
SKIPPED = 20
#: Number of batches in one measurement of the waiting time.
COUNTED = 100


class SlowLoader(Callback):
    """Measure the fraction of training time spent waiting for the next batch, and print one warning if it is large.

    The waiting time is the time from the end of one step to the start of the next. The loader fills its queue while the
    device computes, so the waiting time is close to 0 if the device is the bottleneck. Measuring does not synchronise
    with the device. The first of several epochs, the first 20 batches of each epoch, and steps after validation or
    checkpointing are ignored.

    Args:
        share: minimum fraction of waiting time for a warning, within [0, 1].

    Attributes:
        waited: waiting time of the measured batches in seconds.
        total: total time of these batches in seconds.
        batches: number of measured batches.

    Raises:
        ValueError: if ``share`` is out of range.
    """

    def __init__(self, share: float = 0.1) -> None:
        self.share = check_number("share", share, 0, 1)
        self.waited = self.total = 0.0
        self.batches = 0
        self._said = False
        self._begun: float | None = None
        self._ended: float | None = None
        self._waits = 0.0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Ignore the time between two epochs."""
        self._begun = self._ended = None

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Stop the waiting timer."""
        if self._said:
            return
        self._begun = time.perf_counter()
        self._waits = 0.0 if self._ended is None else self._begun - self._ended

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch; after enough batches, compare the waiting time with the limit."""
        if self._said or self._begun is None:
            return
        now = time.perf_counter()
        if self._ended is not None and _counts(trainer, batch_idx):
            self.waited += self._waits
            self.total += self._waits + now - self._begun
            self.batches += 1
        self._ended = now
        if self.batches >= COUNTED:
            if self.waited >= self.share * self.total:
                self._say(trainer, pl_module)
            self.waited = self.total = 0.0
            self.batches = 0

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Ignore validation between two steps."""
        self._ended = None

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Ignore a checkpoint between two steps."""
        self._ended = None

    def _say(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._said = True
        if trainer.is_global_zero:
            datamodule = getattr(trainer, "datamodule", None)
            facts = {
                "workers": getattr(datamodule, "num_workers", None),
                "cores": max(1, available_cpus() // int(os.environ.get("LOCAL_WORLD_SIZE", trainer.num_devices))),
                "cached": getattr(datamodule, "cache_dir", None) is not None,
                "stored": getattr(datamodule, "size", None),
                "used": getattr(getattr(module, "preprocess", None), "size", None),
                "augments": getattr(datamodule, "augment", None) is not None,
            }
            share = self.waited / self.total
            faces = getattr(datamodule, "batch_size", 0) * self.batches / self.total
            rate = f" ({faces:,.0f} faces/s)" if faces else ""
            ways = "; ".join(advice(facts))
            print(
                f"Warning: {100 * share:.0f}% of a training step is spent waiting for the data loader{rate}. {ways}.",
                file=sys.stderr,
                flush=True,
            )


def _counts(trainer: L.Trainer, batch: int) -> bool:
    first = trainer.current_epoch == 0 and trainer.max_epochs != 1
    return batch >= SKIPPED and not first


def advice(facts: Mapping[str, Any]) -> list[str]:
    """Suggest changes that make a loader faster, most effective first.

    Args:
        facts: ``workers`` (number of loader workers), ``cores`` (number available to this process), ``cached`` and
            ``augments`` (whether images are cached and augmented), ``stored`` (side of the stored images in pixels) and
            ``used`` (side of the network's input in pixels); except for ``cores``, None means unknown.

    Returns:
        Sentences without full stops, at least one.

    Example:
        >>> known = {"workers": 4, "cores": 16, "cached": True, "stored": 448, "used": 224, "augments": False}
        >>> for way in advice(known):
        ...     print(way)
        Use more workers: loader.num_workers=15 (now 4)
        Store images at the size of the network's input: dataset.size=224 (now 448)
    """
    workers, cores, stored, used = facts["workers"], facts["cores"], facts["stored"], facts["used"]
    ways = []
    if not facts["cached"]:
        ways.append("Decode each image once: ++dataset.cache=memmap")
    if workers is not None and workers < cores - 1:
        ways.append(f"Use more workers: loader.num_workers={cores - 1} (now {workers})")
    if stored and used and stored > used:
        ways.append(f"Store images at the size of the network's input: dataset.size={used} (now {stored})")
    if facts["augments"]:
        ways.append("Augment less, e.g. with augment=paper, which only mirrors faces")
    return ways or ["All cores are already in use: a machine with more or faster cores would train faster"]
