"""Notes of an evaluation about the faces it was made on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mfer_lightning.analysis.model_on_split import open_model_on_split
from mfer_lightning.data.datasets.folder import FolderDataModule
from mfer_lightning.inference.model import FERModel
from mfer_lightning.inference.predict_split import SplitName
from mfer_lightning.nn.network import MFER
from mfer_lightning.nn.preprocess import Preprocess

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
    network = MFER({"name": "resnet18", "options": {"channels": [4, 4, 4, 4]}}, 2, attention="none")
    metadata = {"protocol": trained_on, "data_hash": data_hash}
    model = FERModel(network, Preprocess(size=32), CLASSES, metadata)
    return open_model_on_split(model, split, datamodule=faces, device="cpu").remarks()


def test_results_on_train_do_not_mention_missing_test_images(faces: FolderDataModule) -> None:
    assert remarks(faces, "train", "ferplus@dev", "0") == []


def test_results_on_val_mention_missing_test_images(faces: FolderDataModule) -> None:
    assert remarks(faces, "val", "ferplus@dev", "0") == [TEST_IS_MISSING]


def test_training_faces_of_the_same_folder_are_reported(faces: FolderDataModule) -> None:
    assert remarks(faces, "train", "folder@holdout", faces.data_hash) == [TRAINED_ON_THESE]


def test_faces_of_another_folder_are_not_called_training_faces(faces: FolderDataModule) -> None:
    assert remarks(faces, "train", "folder@holdout", "0") == [NOT_KNOWN]
