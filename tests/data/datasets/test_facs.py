from __future__ import annotations

import numpy as np
import pytest

from mfer_lightning.data.datasets import FacsDataModule
from mfer_lightning.data.facs import FacsGenerator
from mfer_lightning.data.workers import start_worker
from mfer_lightning.errors import UserError

SMALL = {"train_size": 48, "val_size": 16, "test_size": 24, "size": 32, "batch_size": 16, "augment": "none"}


def test_faces_and_labels_come_from_the_generator() -> None:
    datamodule = FacsDataModule(**SMALL, data_seed=3, difficulty=0.3)
    datamodule.setup()
    faces = FacsGenerator(size=32, seed=3, difficulty=0.3)
    for split in ("train", "val", "test"):
        batch = next(iter(datamodule.predict_dataloader(split)))
        first = int(datamodule.splits[split].rows[0])
        assert batch["index"].tolist() == list(range(first, first + 16))
        for i in (0, 1, 15):
            np.testing.assert_array_equal(batch["image"][i].permute(1, 2, 0).numpy(), faces.image(split, i))
            assert int(batch["label"][i]) == faces.label(split, i)


def test_splits_share_no_people() -> None:
    datamodule = FacsDataModule(**SMALL)
    datamodule.setup("predict")
    people = [set(datamodule.index.group[datamodule.splits[s].rows].tolist()) for s in ("train", "val", "test")]
    assert not people[0] & people[1]
    assert not people[0] & people[2]
    assert not people[1] & people[2]


@pytest.mark.parametrize(("target", "soft"), [("majority", False), ("crossentropy", True), ("votes", True)])
def test_targets_are_soft_only_where_requested(target: str, soft: bool) -> None:
    datamodule = FacsDataModule(**{**SMALL, "train_size": 96}, ambiguity=0.8, target=target)
    datamodule.setup("predict")
    train = datamodule.splits.train
    np.testing.assert_allclose(train.target.sum(axis=1), 1, atol=1e-5)
    assert bool((train.target.max(axis=1) < 0.95).any()) == soft
    truth = FacsGenerator(size=32, ambiguity=0.8).labels("train", 96)
    if target == "majority":
        np.testing.assert_array_equal(train.label, truth.label)
    if target == "crossentropy":
        np.testing.assert_array_equal(train.target, truth.target)
    np.testing.assert_array_equal(datamodule.splits.test.label, FacsGenerator().labels("test", 24).label)


def test_subgroups_are_attributes_of_the_index() -> None:
    datamodule = FacsDataModule(**SMALL)
    datamodule.setup("predict")
    assert set(datamodule.index.attributes) == {"skin", "age", "occluded", "ambiguous", "valence", "arousal"}


def test_imbalance_applies_only_to_training() -> None:
    datamodule = FacsDataModule(**{**SMALL, "train_size": 400, "test_size": 80}, imbalance=10)
    datamodule.setup("predict")
    assert datamodule.class_counts[0] > 4 * datamodule.class_counts[-1]
    assert np.ptp(np.bincount(datamodule.splits.test.label, minlength=8)) <= 1


def test_changed_settings_use_another_cache_file(tmp_path) -> None:
    for options in ({}, {"difficulty": 0.1}, {"data_seed": 1}):
        datamodule = FacsDataModule(**SMALL, **options, cache_dir=tmp_path)
        datamodule.setup("validate")
    assert len(list(tmp_path.glob("facs-val-*.npy"))) == 3


def test_loaders_use_the_project_worker_init(tmp_path) -> None:
    datamodule = FacsDataModule(**SMALL, cache_dir=tmp_path)
    datamodule.setup("fit")
    assert datamodule.train_dataloader().worker_init_fn is start_worker
    assert datamodule.predict_dataloader("val").worker_init_fn is start_worker


def test_test_split_may_be_empty() -> None:
    datamodule = FacsDataModule(**{**SMALL, "test_size": 0})
    datamodule.setup("predict")
    assert datamodule.test_dataset is None
    assert len(datamodule.splits.test) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_size": 0}, "dataset.train_size=0"),
        ({"difficulty": 2}, "difficulty"),
        ({"target": "soft"}, "target=soft"),
    ],
)
def test_invalid_options_raise_one_clear_error(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        FacsDataModule(**{**SMALL, **options}).setup("predict")
