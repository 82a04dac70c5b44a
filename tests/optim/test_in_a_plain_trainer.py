"""Optimisers and schedules by name, and an additional metric, in a plain Lightning Trainer."""

from __future__ import annotations

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader
from torchmetrics.classification import MulticlassCohenKappa

from mfer_lightning.errors import UserError
from mfer_lightning.losses import CrossEntropy, Objective
from mfer_lightning.module import FERModule
from mfer_lightning.nn import MFER, Preprocess

TINY = {"name": "convnext_atto", "options": {"depths": [1, 1, 1, 1], "dims": [8, 8, 8, 8]}}
NAMES = ("anger", "fear", "joy")


def faces() -> DataLoader:
    torch.manual_seed(0)
    labels = torch.arange(12) % 3
    images = torch.randint(0, 256, (12, 3, 32, 32), dtype=torch.uint8)
    rows = [
        {"image": i, "label": k, "target": torch.eye(3)[k], "index": torch.tensor(n)}
        for n, (i, k) in enumerate(zip(images, labels, strict=True))
    ]
    return DataLoader(rows, batch_size=4)


def module(**options) -> FERModule:
    torch.manual_seed(0)
    network = MFER(TINY, 3, attention={"name": "ds", "kernel_size": 3})
    return FERModule(network, Objective(CrossEntropy()), Preprocess(size=32), class_names=NAMES, **options)


def trainer(**options) -> L.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return L.Trainer(accelerator="cpu", enable_checkpointing=False, num_sanity_val_steps=0, **quiet, **options)


@pytest.mark.parametrize("name", ["lion", "muon", "adafactor", "ASGD"])
def test_optimizer_can_be_given_by_name(name: str) -> None:
    fitted, run = module(optimizer={"name": name, "lr": 1e-4}), trainer(max_epochs=1)
    before = next(iter(fitted.network.head.state_dict().values())).clone()
    run.fit(fitted, faces())
    assert type(run.optimizers[0]).__name__.lower() == name.lower()
    assert not torch.equal(before, next(iter(fitted.network.head.state_dict().values())))


def test_plateau_follows_an_additional_metric_and_acts_before_the_next_epoch() -> None:
    fitted = module(
        optimizer={"name": "sgd", "lr": 1e-12},
        scheduler={"name": "plateau", "monitor": "kappa", "patience": 0, "factor": 0.5},
        metrics={"kappa": MulticlassCohenKappa(3)},
    )
    run = trainer(max_epochs=3, accumulate_grad_batches=2)
    run.fit(fitted, faces(), faces())
    assert run.callback_metrics["val/kappa"] is not None
    assert run.optimizers[0].param_groups[0]["lr"] == pytest.approx(1e-12 * 0.25)  # the first epoch sets the best


def test_max_steps_sets_the_schedule_length() -> None:
    run = trainer(max_steps=5, max_epochs=-1)
    run.fit(module(scheduler={"name": "polynomial", "warmup_steps": 2}), faces())
    assert run.global_step == 5
    assert run.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.0)


def test_finite_schedule_requires_a_finite_run() -> None:
    with pytest.raises(UserError, match="`total_steps` to be known for the schedule 'cosine'"):
        trainer(max_epochs=-1, max_time={"seconds": 5}).fit(module(scheduler={"name": "cosine"}), faces())
