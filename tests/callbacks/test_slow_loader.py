"""The warning about a slow loader: when it is printed, and its advice."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from mfer_lightning.callbacks import SlowLoader
from mfer_lightning.callbacks.slow_loader import advice

KNOWN: dict[str, Any] = {
    "workers": 14,
    "cores": 15,
    "cached": True,
    "stored": 224,
    "used": 224,
    "augments": False,
}


class Clock:
    """A clock controlled by the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("mfer_lightning.callbacks.slow_loader.time.perf_counter", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def fit(callback: SlowLoader, clock: Clock, wait: float, step: float, **options: Any) -> None:
    """Call the callback as Lightning does, for ``epochs`` epochs of ``batches`` batches: first a wait, then a step."""
    datamodule = SimpleNamespace(num_workers=1, cache_dir=Path("cache"), size=48, augment=None, batch_size=10)
    trainer: Any = SimpleNamespace(is_global_zero=True, num_devices=1, datamodule=datamodule, max_epochs=0)
    trainer.max_epochs = options.get("epochs", 1)
    module: Any = SimpleNamespace(preprocess=SimpleNamespace(size=48))
    for epoch in range(trainer.max_epochs):
        trainer.current_epoch = epoch
        callback.on_train_epoch_start(trainer, module)
        for batch in range(options.get("batches", 200)):
            clock.now += wait
            if options.get("validates") and batch % 2:
                callback.on_validation_start(trainer, module)
            if options.get("saves") and batch % 2 == 0:
                callback.on_save_checkpoint(trainer, module, {})
            callback.on_train_batch_start(trainer, module, None, batch)
            clock.now += step
            callback.on_train_batch_end(trainer, module, None, None, batch)


def test_warning_is_printed_once_with_fraction_and_rate(clock: Clock, capsys: pytest.CaptureFixture) -> None:
    fit(SlowLoader(), clock, wait=0.3, step=0.7, batches=500)
    said = capsys.readouterr().err
    assert said.count("Warning") == 1
    assert "30% of a training step is spent waiting for the data loader (10 faces/s)" in said


@pytest.mark.parametrize(
    "given",
    [
        {"wait": 0.09, "step": 0.91},
        {"wait": 0.9, "step": 0.1, "batches": 119},
        {"wait": 0.9, "step": 0.1, "batches": 19, "epochs": 20},
        {"wait": 0.9, "step": 0.1, "batches": 119, "epochs": 2},
        {"wait": 0.9, "step": 0.1, "validates": True, "saves": True},
    ],
    ids=["little", "too few batches", "the first of each epoch", "the first epoch", "validations and checkpoints"],
)
def test_no_warning(given: dict[str, Any], clock: Clock, capsys: pytest.CaptureFixture) -> None:
    fit(SlowLoader(), clock, **given)
    assert capsys.readouterr().err == ""


def test_short_epochs_are_counted_together(clock: Clock, capsys: pytest.CaptureFixture) -> None:
    fit(SlowLoader(), clock, wait=0.5, step=0.5, batches=60, epochs=4)
    assert "50% of a training step" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"workers": 4}, "loader.num_workers=14 (now 4)"),
        ({"cached": False}, "++dataset.cache=memmap"),
        ({"stored": 500}, "dataset.size=224 (now 500)"),
        ({"augments": True}, "augment=paper"),
        ({}, "All cores are already in use"),
    ],
)
def test_warning_suggests_a_remedy(changes: dict[str, Any], words: str) -> None:
    (way,) = advice({**KNOWN, **changes})
    assert words in way


def test_out_of_range_fraction_raises_value_error() -> None:
    with pytest.raises(ValueError, match="share"):
        SlowLoader(1.5)


class Slow(Dataset):
    """Items that take two milliseconds each."""

    def __len__(self) -> int:
        return 130

    def __getitem__(self, item: int) -> torch.Tensor:
        time.sleep(0.002)
        return torch.ones(2)


class Quick(L.LightningModule):
    """Hardly any work."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        return self.layer(batch).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.01)


def test_slow_training_prints_the_warning(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = L.Trainer(
        max_epochs=1,
        accelerator="cpu",
        callbacks=[SlowLoader()],
        enable_checkpointing=False,
        default_root_dir=tmp_path,
        **quiet,
    )
    trainer.fit(Quick(), DataLoader(Slow(), batch_size=1))
    assert "of a training step is spent waiting for the data loader" in capsys.readouterr().err
