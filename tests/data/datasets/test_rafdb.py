from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from data.layout_trees import write_rafdb

from mfer_lightning.data.datasets import RAFDBDataModule
from mfer_lightning.errors import UserError


@pytest.mark.parametrize("layout", ["official", "flat", "classes"])
def test_every_layout_trains_and_reports(tmp_path: Path, layout: str) -> None:
    root = write_rafdb(tmp_path / "raf-db", layout, train=140)
    datamodule = RAFDBDataModule(root, size=20, batch_size=14, augment="none")
    datamodule.setup()
    assert datamodule.protocol.name == "rafdb@holdout"
    assert datamodule.class_names[0] == "surprise"
    assert datamodule.class_counts == (18,) * 7
    assert [len(datamodule.splits[name]) for name in ("train", "val", "test")] == [126, 14, 14]
    batch = next(iter(datamodule.train_dataloader()))
    assert batch["image"].shape == (14, 3, 20, 20)
    assert batch["target"].argmax(1).tolist() == batch["label"].tolist()
    for image, row in zip(batch["image"].numpy(), batch["index"].tolist(), strict=True):
        stored = cv2.imread(str(root / str(datamodule.index.path[row])))[:, :, ::-1]
        assert np.abs(image.transpose(1, 2, 0).astype(int) - stored).max() <= 3  # JPEG decoders may round differently


def test_paper_protocol_selects_on_the_test_images_and_is_marked(tmp_path: Path) -> None:
    datamodule = RAFDBDataModule(write_rafdb(tmp_path), protocol="paper")
    datamodule.setup("predict")
    assert datamodule.protocol.marked
    assert datamodule.splits.val.rows.tolist() == datamodule.splits.test.rows.tolist() == list(range(28, 42))
    assert len(datamodule.splits.train) == 28


def test_incomplete_copy_is_noted(tmp_path: Path) -> None:
    datamodule = RAFDBDataModule(write_rafdb(tmp_path, train=140))
    datamodule.setup("predict")
    assert "train has 140 images under the rule 'label', but a complete copy has 12,271" in datamodule.notes
    assert "test has 14 images under the rule 'label', but a complete copy has 3,068" in datamodule.notes


@pytest.mark.parametrize("layout", ["official", "flat", "classes"])
def test_missing_test_images_allow_training_and_explain_failed_evaluation(tmp_path: Path, layout: str) -> None:
    root = write_rafdb(tmp_path, layout, train=140)
    for path in list(root.rglob("test_*_aligned.jpg")):
        path.unlink()
    datamodule = RAFDBDataModule(root, size=20, batch_size=4)
    datamodule.setup()
    next(iter(datamodule.train_dataloader()))
    assert len(datamodule.splits.test) == 0
    assert any("the test images are missing" in note for note in datamodule.notes)
    with pytest.raises(UserError, match="There is no test split"):
        datamodule.test_dataloader()
    with pytest.raises(UserError, match="rafdb@paper cannot be evaluated"):
        RAFDBDataModule(root, protocol="paper").setup()


def test_permission_error_raises_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exists(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", exists)
    with pytest.raises(UserError, match=r"Cannot read .*nowhere: Permission denied"):
        RAFDBDataModule(tmp_path / "nowhere").setup()
