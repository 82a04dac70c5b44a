"""Valence and arousal: attributes of AffectNet's faces, and part of the batch where a dataset has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from data.layout_trees import write_affectnet_csv, write_affectnet_npy, write_rafdb

from mfer_lightning.data.datasets import AffectNetDataModule, RAFDBDataModule
from mfer_lightning.data.datasets.affectnet import read_affectnet
from mfer_lightning.errors import UserError


def test_csv_release_provides_valence_and_arousal_with_missing_values_as_nan(tmp_path: Path) -> None:
    root = write_affectnet_csv(tmp_path, train=48, val=8)
    path = root / "training.csv"
    path.write_text(path.read_text().replace(",0.01,-0.5", ",-2,-2"))  # a face that was not rated
    datamodule = AffectNetDataModule(root, size=16, batch_size=40, augment="none", cache="none")
    datamodule.setup()
    known = datamodule.index.valence_arousal
    assert known is not None
    assert known.dtype == np.float32
    np.testing.assert_allclose(known[:3], [[0.0, -0.5], [np.nan, np.nan], [0.02, -0.5]])
    for loader in (datamodule.train_dataloader(), datamodule.test_dataloader()):
        batch = next(iter(loader))
        assert batch["valence_arousal"].dtype == torch.float32
        np.testing.assert_array_equal(batch["valence_arousal"].numpy(), known[batch["index"].numpy()])


def test_npy_release_provides_both_values_and_accepts_missing_ones(tmp_path: Path) -> None:
    root = write_affectnet_npy(tmp_path, train=16, val=8)
    for i in range(10):
        np.save(root / "train_set" / "annotations" / f"{i}_aro.npy", np.array(str(-0.1 * i) if i else "-2.0"))
    index = read_affectnet(root, 7)  # without contempt: two training faces, one validation face
    assert len(index) == len(index.attributes["arousal"]) == 14 + 7
    np.testing.assert_allclose(index.attributes["valence"], 0.5)
    np.testing.assert_allclose(index.attributes["arousal"][:8], [np.nan, *(-0.1 * np.arange(1, 7)), -0.8], atol=1e-6)
    assert np.isnan(index.attributes["arousal"][9:]).all()


@pytest.mark.parametrize(
    ("value", "words"),
    [(np.array("much"), "expected one number, but got 'much'"), (np.array([0.1, 0.2]), "one number")],
)
def test_damaged_file_is_named(tmp_path: Path, value: np.ndarray, words: str) -> None:
    root = write_affectnet_npy(tmp_path, train=8, val=8)
    np.save(root / "train_set" / "annotations" / "3_val.npy", value)
    with pytest.raises(UserError, match=rf"3_val\.npy: .*{words}"):
        read_affectnet(root)


def test_other_datasets_have_no_valence_and_arousal(tmp_path: Path) -> None:
    datamodule = RAFDBDataModule(write_rafdb(tmp_path), size=16, cache="none", augment="none")
    datamodule.setup("predict")
    assert datamodule.index.valence_arousal is None
    assert "valence_arousal" not in next(iter(datamodule.test_dataloader()))
