"""A plain Trainer with the parts listed in docs/own_trainer.md gives the same results as the command."""

from __future__ import annotations

import csv
import json

import lightning as L
import pytest
from commands.conftest import mfer as mfer
from commands.conftest import only_run
from lightning.pytorch.callbacks import ModelCheckpoint

from mfer_lightning import MFER, FERModule
from mfer_lightning.callbacks import WarmEMA
from mfer_lightning.data import FacsDataModule
from mfer_lightning.losses import CrossEntropy, DSFLoss, Objective
from mfer_lightning.nn import Preprocess

OPTIONS = {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32], "stem_type": "overlap_tiered", "ls_init_value": 1.0}
SIZES = {"train_size": 48, "val_size": 21, "test_size": 19, "size": 32}


def test_plain_trainer_matches_the_command_line(mfer, tmp_path, trainer):
    sizes = [f"dataset.{name}={value}" for name, value in SIZES.items()]
    backbone = ["backbone.options.depths=[1,1,1,1]", "backbone.options.dims=[8,16,24,32]"]
    run_of_two = ["preprocess.size=32", "loader.batch_size=16", "trainer.max_epochs=2", "evaluation.embedding_points=0"]
    assert mfer("dataset=facs", "trainer=cpu", "trainer.precision=32-true", *sizes, *backbone, *run_of_two) == 0
    run = only_run(tmp_path / "runs")

    L.seed_everything(0, verbose=False)
    faces = FacsDataModule(**SIZES, batch_size=16, eval_batch_size=256, difficulty=0.45)
    small = {"name": "convnext_tiny", "drop_path_rate": 0.0, "stem": "default", "options": OPTIONS}
    network = MFER(small, faces.num_classes)
    loss = Objective(CrossEntropy(0.1), DSFLoss(faces.num_classes, network.feature_dim), feature_weight=0.3)
    rates = {"lr": 1e-3, "betas": [0.9, 0.99], "weight_decay": 0.05, "center_lr_scale": 10.0}
    module = FERModule(
        network, loss, Preprocess(size=32, mean="half", std="half"), class_names=faces.class_names,
        optimizer=rates, scheduler={"name": "cosine", "warmup_epochs": 1, "min_lr_ratio": 0.01},
    )  # fmt: skip
    best = ModelCheckpoint(tmp_path, monitor="val/accuracy", mode="max")
    curve: list[dict[str, float]] = []

    class Curve(L.Callback):
        def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            curve.append({name: float(value) for name, value in trainer.callback_metrics.items()})

    plain = trainer(
        max_epochs=2, gradient_clip_val=1.0, callbacks=[WarmEMA(0.999), Curve(), best], enable_checkpointing=True
    )
    plain.fit(module, datamodule=faces)
    (figures,) = plain.test(module, datamodule=faces, ckpt_path="best", verbose=False)

    rows = list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))
    assert len(rows) == len(curve) == 2
    for row, measured in zip(rows, curve, strict=True):
        for name in ("val/accuracy", "val/nll", "val/loss"):
            assert float(row[name]) == pytest.approx(measured[name], abs=1e-6), name
    result = json.loads((run / "result.json").read_text())["metrics"]
    for name in ("accuracy", "mean_class_accuracy", "macro_f1", "nll"):
        assert figures[f"test/{name}"] == pytest.approx(result[name], rel=1e-5), name
    loaded = FERModule.load_from_checkpoint(run / "checkpoints" / "best.ckpt")  # written by the command
    assert plain.test(loaded, datamodule=faces, verbose=False)[0] == pytest.approx(figures, rel=1e-5)
    assert loaded.metadata["config"]["dataset"]["name"] == "facs"
    plain.fit(loaded, datamodule=faces)  # and it can be trained further
