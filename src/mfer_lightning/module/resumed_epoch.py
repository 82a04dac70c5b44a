"""Restart the data loaders of a resumed run, so that its first epoch uses the correct order and augmentation."""

from __future__ import annotations

import lightning as L
from lightning.fabric.utilities.data import _set_sampler_epoch


def read_resumed_epoch(trainer: L.Trainer) -> None:
    """Set the epoch of the samplers and restart the data loaders, unless training starts at epoch 0.

    Lightning starts the loader workers, which prefetch immediately, before it restores the epoch and sets it in the
    samplers. Without a restart, the first epoch after resuming would repeat the order and augmentation of epoch 0.

    Args:
        trainer: the Trainer at the start of training, before the first batch.
    """
    fetcher = trainer.fit_loop._data_fetcher
    if trainer.current_epoch == 0 or fetcher is None:
        return
    for loader in fetcher.combined_loader.flattened:
        _set_sampler_epoch(loader, trainer.current_epoch)
    iter(fetcher)
