"""Random numbers of layers are the same in a resumed run as in an uninterrupted one."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mfer_lightning.callbacks import StepSeed


class Dropped(L.LightningModule):
    """A module with dropout that remembers its losses."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 64), nn.Dropout(0.5), nn.Linear(64, 1))
        self.losses: list[float] = []

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        loss = self.layers(batch).square().mean()
        self.losses.append(float(loss))
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def losses(epochs: int, folder: Path, seed: int | None, continued: Path | None = None) -> list[float]:
    torch.manual_seed(0)
    faces = torch.linspace(-1, 1, 64).reshape(8, 8)
    module = Dropped()
    trainer = L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[] if seed is None else [StepSeed(seed)],
    )
    trainer.fit(module, DataLoader(faces, batch_size=4), ckpt_path=continued, weights_only=False)
    trainer.save_checkpoint(folder / "last.ckpt")
    return module.losses


@pytest.mark.filterwarnings("ignore")
def test_resumed_training_drops_the_same_units_as_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = losses(4, tmp_path, 3)
    first = losses(2, tmp_path, 3)
    torch.rand(5)  # another process has another state
    rest = losses(4, tmp_path, 3, tmp_path / "last.ckpt")
    assert first + rest == whole


@pytest.mark.filterwarnings("ignore")
def test_seeds_epochs_batches_and_ranks_differ(tmp_path: Path) -> None:
    assert losses(2, tmp_path, 3) != losses(2, tmp_path, 4)
    numbers = set()
    for epoch, rank, batch in itertools.product(range(3), range(2), range(3)):
        trainer: Any = SimpleNamespace(current_epoch=epoch, global_rank=rank, world_size=2)
        StepSeed(0).on_train_batch_start(trainer, L.LightningModule(), None, batch)
        numbers.add(float(torch.rand(())))
    assert len(numbers) == 18


@pytest.mark.filterwarnings("ignore")
def test_results_would_differ_without_the_callback(tmp_path: Path) -> None:
    whole = losses(4, tmp_path, None)
    first = losses(2, tmp_path, None)
    assert first + losses(4, tmp_path, None, tmp_path / "last.ckpt") != whole
