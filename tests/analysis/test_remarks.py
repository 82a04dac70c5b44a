"""Notes that an evaluation adds about the faces it used."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from analysis.conftest import model_of
from data.layout_trees import write_affectnet_npy
from PIL import Image

from mfer_lightning.analysis.model_on_split import open_model_on_split
from mfer_lightning.data.datasets.affectnet import AffectNetDataModule
from mfer_lightning.data.datasets.folder import FolderDataModule
from mfer_lightning.inference.predict_split import SplitName

CLASSES = ("neutral", "happiness")
TEST_IS_MISSING = "the test images are missing: results are on val, on which the checkpoint was selected"
TRAINED_ON_THESE = "the model was trained on these faces, so the results do not measure generalisation"
NOT_KNOWN = "the model was trained on dataset=folder with other faces, labels or splits, which may include these faces"


@pytest.fixture
def faces(tmp_path: Path) -> FolderDataModule:
    """Twenty faces without test images."""
    rng = np.random.default_rng(0)
    for name in CLASSES:
        (tmp_path / name).mkdir()
        for i in range(10):
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(tmp_path / name / f"{i}.png")
    datamodule = FolderDataModule(tmp_path, cache="none", size=32)
    datamodule.prepare_data()
    datamodule.setup("predict")
    return datamodule


def remarks(faces: FolderDataModule, split: SplitName, trained_on: str, data_hash: str) -> list[str]:
    model = model_of(CLASSES, {"protocol": trained_on, "data_hash": data_hash})
    return open_model_on_split(model, split, datamodule=faces, device="cpu").remarks()


def test_results_on_train_do_not_mention_missing_test_images(faces: FolderDataModule) -> None:
    assert remarks(faces, "train", "ferplus@dev", "0") == []


def test_results_on_val_mention_missing_test_images(faces: FolderDataModule) -> None:
    assert remarks(faces, "val", "ferplus@dev", "0") == [TEST_IS_MISSING]


def test_training_faces_of_the_same_folder_are_reported(faces: FolderDataModule) -> None:
    assert remarks(faces, "train", "folder@holdout", faces.data_hash) == [TRAINED_ON_THESE]


def test_faces_of_another_folder_are_not_called_training_faces(faces: FolderDataModule) -> None:
    assert remarks(faces, "train", "folder@holdout", "0") == [NOT_KNOWN]


@pytest.mark.parametrize(("trained", "evaluated"), [(8, 7), (7, 8)])
def test_training_faces_shared_by_two_datasets_are_reported(trained: int, evaluated: int, tmp_path: Path) -> None:
    datamodule = AffectNetDataModule(write_affectnet_npy(tmp_path, train=80, val=16), classes=evaluated, size=20)
    datamodule.prepare_data()
    datamodule.setup("predict")
    model = model_of(datamodule.class_names, {"protocol": f"affectnet{trained}@native", "data_hash": "0"})
    expected = f"the model was trained under affectnet{trained}@native, which trains on faces of this split"
    for split in ("train", "val"):  # val is held out from the same part by each dataset separately
        assert expected in open_model_on_split(model, split, datamodule=datamodule, device="cpu").remarks()
    notes = open_model_on_split(model, "test", datamodule=datamodule, device="cpu").remarks()
    assert not [note for note in notes if "the model was trained" in note]


def listed(root: Path, train: str, test: str, **options: Any) -> FolderDataModule:
    """Write faces and their list. Each digit of ``train`` and ``test`` is the class number of one face."""
    labels = [*(("train", i, label) for i, label in enumerate(train)), ("val", 0, "0"), ("val", 1, "1")]
    labels += [("test", i, label) for i, label in enumerate(test)]
    for part, i, _ in labels:
        (root / part).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((32, 32, 3), 8 * i, np.uint8)).save(root / part / f"{i}.png")
    rows = [f"{part}/{i}.png,{CLASSES[int(label)]},{part}" for part, i, label in labels]
    (root / "labels.csv").write_text("\n".join(["path,label,split", *rows]) + "\n")
    datamodule = FolderDataModule(root, cache="none", size=32, **options)
    datamodule.prepare_data()
    datamodule.setup("predict")
    return datamodule


DIFFER = "of dataset=folder differ from those of the training run (the files or the dataset options have changed); "
MAYBE_SEEN = (
    f"{DIFFER}the test faces have the same file names as in the training run, but their contents were not compared, so "
    "the model may have been trained on them"
)
MAYBE_SELECTED = (
    f"{DIFFER}the val faces have the same file names as those on which the checkpoint was selected, but their contents "
    "were not compared, so the model may have been trained or selected on them"
)
SAME_NAMES = (
    "the model was trained on faces with the same file names, so the results probably do not measure generalisation"
)


@pytest.mark.parametrize(
    ("train", "test", "split", "expected"),
    [
        ("0110", "01", "test", f"the training labels {MAYBE_SEEN}"),
        ("0101", "11", "test", f"the test labels {MAYBE_SEEN}"),
        ("01010", "11", "test", f"the training faces and the test labels {MAYBE_SEEN}"),
        ("0110", "01", "val", f"the training labels {MAYBE_SELECTED}"),
        ("0110", "01", "train", SAME_NAMES.replace("names,", "names but other labels,")),
        ("0101", "010", "train", SAME_NAMES),
        ("0101", "010", "test", NOT_KNOWN),
        ("01010", "01", "train", NOT_KNOWN),
    ],
)
def test_changes_of_a_folder_since_training_are_named(
    train: str, test: str, split: SplitName, expected: str, tmp_path: Path
) -> None:
    before = listed(tmp_path, "0101", "01")
    metadata = {"protocol": before.protocol.name, "data_hash": before.data_hash, "split_hashes": before.split_hashes()}
    now = listed(tmp_path, train, test)
    subject = open_model_on_split(model_of(CLASSES, metadata), split, datamodule=now, device="cpu")
    assert expected in subject.remarks()
    del metadata["split_hashes"]  # a checkpoint of an earlier version
    subject = open_model_on_split(model_of(CLASSES, metadata), split, datamodule=now, device="cpu")
    assert NOT_KNOWN in subject.remarks()


def notes_on_training(trained: FolderDataModule, now: FolderDataModule, split: SplitName) -> list[str]:
    hashes = {"data_hash": trained.data_hash, "split_hashes": trained.split_hashes()}
    metadata = {"protocol": trained.protocol.name, **hashes}
    notes = open_model_on_split(model_of(CLASSES, metadata), split, datamodule=now, device="cpu").remarks()
    return [note for note in notes if "training run" in note or "was trained" in note]


def test_training_pictures_under_the_names_of_test_pictures_are_not_called_unseen(tmp_path: Path) -> None:
    first, second = listed(tmp_path / "first", "0101", "01"), listed(tmp_path / "second", "010101", "01")
    for name in ("0.png", "1.png"):
        shutil.copy(tmp_path / "first" / "train" / name, tmp_path / "second" / "test" / name)
    assert notes_on_training(first, second, "test") == [f"the training faces {MAYBE_SEEN}"]


@pytest.mark.parametrize("options", [{"label_noise": 0.5}, {"train_faces": 2}, {"hold_out": "1/2"}], ids=str)
def test_changes_of_the_training_set_by_options_are_not_called_changes_of_the_files(
    options: dict[str, Any], tmp_path: Path
) -> None:
    now = listed(tmp_path, "01010101", "01")
    trained = listed(tmp_path, "01010101", "01", **options)
    assert trained.data_hash != now.data_hash
    assert notes_on_training(trained, now, "test") == notes_on_training(trained, now, "val") == []
    assert notes_on_training(trained, now, "train") == [SAME_NAMES]
