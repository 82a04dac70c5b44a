"""Loaders without their datamodule, and user-defined loaders: mismatches give one message."""

from __future__ import annotations

import pytest
import torch
from lightning.pytorch.core.hooks import DataHooks
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch.utils.data import DataLoader
from torchmetrics.classification import MulticlassCohenKappa

from mfer_lightning import export, load_model, predict
from mfer_lightning.errors import UserError


def test_loader_of_a_datamodule_knows_its_classes(make, faces, trainer):
    faces.setup()
    module = make(tuple(reversed(faces.class_names)))
    with pytest.raises(UserError, match=r"classes .* in the same order"):
        trainer().validate(module, faces.val_dataloader(), verbose=False)


@pytest.mark.parametrize("row", [torch.zeros(3, 32, 32), {"image": torch.zeros(3, 32, 32), "label": torch.tensor(0)}])
def test_batches_of_another_form_are_rejected(make, trainer, row):
    with pytest.raises(UserError, match=r"must be a mapping with image, index, target "):
        trainer().fit(make(), DataLoader([row] * 4, batch_size=2))


def test_lightning_gives_no_warning_about_hooks_with_a_datamodule(make, faces):
    assert not [h for h in vars(DataHooks) if "batch_transfer" in h and is_overridden(h, make())]


@pytest.mark.parametrize(
    "metrics", [[MulticlassCohenKappa(8)], MulticlassCohenKappa(8), {"a.b": MulticlassCohenKappa(8)}]
)
def test_metrics_must_have_names(make, metrics):
    with pytest.raises(ValueError, match="Expected argument `metrics`"):
        make(metrics=metrics)


@pytest.mark.parametrize("verb", [load_model, export, lambda module: predict([], module)])
def test_passing_a_module_to_a_verb_suggests_save_checkpoint(make, verb):
    with pytest.raises(ValueError, match=r"but got FERModule.*save_checkpoint"):
        verb(make())
