"""Lightning's tuners, callbacks, loggers and progress bar."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from lightning.pytorch.callbacks import (
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
    RichProgressBar,
    StochasticWeightAveraging,
    TQDMProgressBar,
)
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.tuner import Tuner

from mfer_lightning.callbacks import FERProgressBar, WarmEMA


def test_learning_rate_finder_sets_the_rate(make, faces, trainer):
    module = make(optimizer={"name": "adamw", "lr": 3e-4})
    assert module.lr == 3e-4
    found = Tuner(trainer(max_epochs=10)).lr_find(module, datamodule=faces, num_training=30, early_stop_threshold=None)
    assert found.suggestion() == module.lr == module.hparams.optimizer["lr"] != 3e-4
    run = trainer()
    run.fit(module, datamodule=faces)
    assert run.optimizers[0].param_groups[0]["initial_lr"] == module.lr


@pytest.mark.slow
def test_batch_size_finder_sets_the_batch_size(make, faces, trainer):
    module = make()
    Tuner(trainer()).scale_batch_size(module, datamodule=faces, max_trials=3, steps_per_trial=1)
    assert faces.batch_size == 8
    faces.batch_size = 32
    run = trainer()
    run.fit(module, datamodule=faces)
    assert run.num_training_batches == 2
    # it doubles until there are too few faces
    Tuner(trainer()).scale_batch_size(module, datamodule=faces, init_val=24, steps_per_trial=1)
    assert faces.batch_size == 64
    trainer().fit(module, datamodule=faces)


@pytest.mark.parametrize(
    "callback",
    [
        EarlyStopping("val/loss"),
        EarlyStopping("val/accuracy", mode="max"),
        LearningRateMonitor(),
        StochasticWeightAveraging(1e-3),
        WarmEMA(0.9),
    ],
    ids=lambda callback: type(callback).__name__,
)
def test_common_callbacks_and_loggers_work(make, faces, trainer, tmp_path, callback):
    pytest.importorskip("tensorboard")
    best = ModelCheckpoint(tmp_path, monitor="val/accuracy", mode="max")
    loggers = [CSVLogger(tmp_path), TensorBoardLogger(tmp_path / "board")]
    options = {"max_epochs": 3, "log_every_n_steps": 1, "enable_checkpointing": True}
    run = trainer(callbacks=[callback, best], logger=loggers, **options)
    run.fit(make(), datamodule=faces)
    assert Path(best.best_model_path).is_file()
    (table,) = tmp_path.glob("lightning_logs/*/metrics.csv")
    assert {"val/accuracy", "val/loss", "train/loss"} <= set(table.read_text().splitlines()[0].split(","))
    (stored,) = tmp_path.glob("lightning_logs/*/hparams.yaml")
    assert "optimizer" in stored.read_text()


@pytest.mark.parametrize("bar", [TQDMProgressBar(), RichProgressBar(refresh_rate=5)], ids=["tqdm", "rich"])
def test_user_progress_bar_is_kept(make, faces, trainer, bar):
    run = trainer(callbacks=[bar], enable_progress_bar=True, limit_train_batches=1)
    run.fit(make(), datamodule=faces)
    assert run.progress_bar_callback is bar
    assert [name for name in run.progress_bar_metrics if name.startswith("val/")] == ["val/accuracy"]


def test_progress_bar_can_be_disabled(make, faces, trainer):
    run = trainer()
    run.fit(make(), datamodule=faces)
    assert run.progress_bar_callback is None


SCRIPT = """
import lightning as L
from mfer_lightning import MFER, FERModule
from mfer_lightning.data import FacsDataModule
from mfer_lightning.losses import CrossEntropy, Objective
from mfer_lightning.nn import Preprocess

faces = FacsDataModule(train_size=64, val_size=61, test_size=9, size=32, batch_size=8)
network = MFER({"name": "convnext_atto", "options": {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32]}}, 8)
module = FERModule(network, Objective(CrossEntropy()), Preprocess(size=32), class_names=faces.class_names)
L.Trainer(accelerator="cpu", max_epochs=12, limit_train_batches=4, limit_val_batches=2).fit(module, faces)
"""


@pytest.mark.slow
def test_progress_bar_fits_into_80_columns_and_counts_from_1(tmp_path):
    ours, theirs = pty.openpty()
    subprocess.run(["stty", "cols", "80", "rows", "24"], stdin=theirs, check=True)
    variables = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path, env=variables)
    os.close(theirs)
    written = b""
    while True:
        try:
            block = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not block:
            break
        written += block
    assert process.wait() == 0, written[-2000:]
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.decode(errors="replace"))
    lines = [line.strip("\r") for part in text.split("\n") for line in part.split("\r")]
    lines = [line.partition("`")[0] for line in lines]  # a message from Lightning follows the last bar
    bars = [line for line in lines if line.startswith("Epoch ")]
    assert any(line.startswith("Epoch 1/12") for line in bars)
    assert any(line.startswith("Epoch 12/12") for line in bars)
    assert not [line for line in bars if line.startswith("Epoch 0")]
    full = [line for line in bars if "loss" in line and "val acc" in line]
    assert full
    assert not [line for line in bars if len(line) > 80]
    assert not [line for line in full if not re.search(r"loss: \d+\.\d{3} val acc: \d\.\d{3}$", line)]


def test_command_line_uses_the_same_progress_bar():
    assert issubclass(FERProgressBar, RichProgressBar)
