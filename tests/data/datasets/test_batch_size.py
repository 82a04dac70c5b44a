"""A batch larger than the training set: reduced if it is the default, otherwise an early error."""

from __future__ import annotations

from typing import Any

import pytest

from mfer_lightning.config.compose import compose_train
from mfer_lightning.data.datasets import FacsDataModule
from mfer_lightning.errors import UserError
from mfer_lightning.training.build import build_datamodule
from mfer_lightning.training.length import planned_epochs


def module(**options: Any) -> FacsDataModule:
    return FacsDataModule(train_size=33, val_size=4, test_size=4, size=24, **options)


@pytest.mark.parametrize(
    ("options", "batch"), [({}, 33), ({"batch_size": 256, "shrink_batch": True}, 33), ({"batch_size": 8}, 8)]
)
def test_default_batch_size_shrinks_to_the_training_set_with_a_note(options: dict[str, Any], batch: int) -> None:
    data = module(**options)
    data.setup("fit")
    data.setup("fit")
    first = next(iter(data.train_dataloader()))
    assert len(first["label"]) == data.batch_size == batch
    assert sum("exceeds the number of training faces (33)" in note for note in data.notes) == (batch == 33)


def test_shrunk_batch_is_divided_among_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    data = module()
    data.setup("fit")
    monkeypatch.setattr(data, "_world", lambda: (2, 0))
    assert data.train_dataloader().batch_size == 16
    monkeypatch.setattr(data, "_world", lambda: (64, 0))
    with pytest.raises(UserError, match="cannot be divided among 64 devices"):
        data.train_dataloader()


def test_explicit_batch_size_above_the_training_set_is_rejected_early(monkeypatch: pytest.MonkeyPatch) -> None:
    data = module(batch_size=34)
    monkeypatch.setattr(data, "_open", lambda *_: pytest.fail("images are decoded"))
    with pytest.raises(UserError, match=r"has 33 faces, fewer than loader\.batch_size=34"):
        data.setup("fit")


def test_batch_size_from_a_config_file_counts_as_default() -> None:
    config = compose_train(["dataset=facs", "dataset.train_size=33"])
    data = build_datamodule(config)
    assert data.shrink_batch
    assert planned_epochs({**config, "trainer": {**config["trainer"], "max_epochs": None, "max_steps": 7}}, 33) == 7
