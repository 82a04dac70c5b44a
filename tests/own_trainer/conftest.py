"""A tiny datamodule, module and Trainer, created as in a user's script."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from mfer_lightning import MFER, FERModule
from mfer_lightning.data import FacsDataModule
from mfer_lightning.losses import CrossEntropy, DSFLoss, Objective
from mfer_lightning.nn import Preprocess

BACKBONE = {"name": "convnext_atto", "options": {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32]}}

Make = Callable[..., FERModule]


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Restore the handling of denormal numbers, which modules flush to zero."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture
def faces() -> FacsDataModule:
    return facs()


def facs(**options: Any) -> FacsDataModule:
    """61 validation faces: not divisible by two ranks or batches of 16."""
    sizes = {"train_size": 64, "val_size": 61, "test_size": 25, "size": 32}
    return FacsDataModule(**{**sizes, "batch_size": 16, "augment": "none", **options})


@pytest.fixture
def make(faces: FacsDataModule) -> Make:
    def build(names: tuple[str, ...] | None = None, **options: Any) -> FERModule:
        torch.manual_seed(0)
        names = faces.class_names if names is None else names
        network = options.pop("network", None) or MFER(BACKBONE, len(names))
        objective = options.pop("objective", None)
        if objective is None:
            objective = Objective(CrossEntropy(0.1), DSFLoss(len(names), network.feature_dim), feature_weight=0.3)
        return FERModule(network, objective, Preprocess(size=32), class_names=names, **options)

    return build


@pytest.fixture
def trainer(tmp_path: Path) -> Callable[..., L.Trainer]:
    def build(**options: Any) -> L.Trainer:
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        plain = {"accelerator": "cpu", "devices": 1, "max_epochs": 1, "enable_checkpointing": False}
        return L.Trainer(**{**quiet, **plain, "default_root_dir": tmp_path, **options})

    return build
