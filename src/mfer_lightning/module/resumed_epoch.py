"""Let the first epoch of a resumed run read its own faces."""

from __future__ import annotations

import lightning as L
from lightning.fabric.utilities.data import _set_sampler_epoch


def read_resumed_epoch(trainer: L.Trainer) -> None:
    """Start reading again, with the epoch of the samplers set, where training begins at a later epoch than the first.

    Lightning starts the workers of the loaders, which read ahead at once, before it restores the epoch and sets that of
    the samplers. The first epoch of a resumed run would have the order and the augmentation of the very first one.

    Args:
        trainer: at the start of training, before its first batch.
    """
    fetcher = trainer.fit_loop._data_fetcher
    if trainer.current_epoch == 0 or fetcher is None:
        return
    for loader in fetcher.combined_loader.flattened:
        _set_sampler_epoch(loader, trainer.current_epoch)
    iter(fetcher)
