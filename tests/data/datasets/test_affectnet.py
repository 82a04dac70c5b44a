from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data.layout_trees import write_affectnet_csv, write_affectnet_npy, write_class_folders

from mfer_lightning.data.datasets import AffectNetDataModule
from mfer_lightning.errors import UserError

WRITERS = {
    "csv": lambda root: write_affectnet_csv(root, 400, 16),
    "npy": lambda root: write_affectnet_npy(root, 400, 16),
    "folders": lambda root: write_class_folders(root, {"train": 400, "val": 16}, [str(i) for i in range(8)]),
}


@pytest.mark.parametrize("classes", [7, 8])
@pytest.mark.parametrize("layout", list(WRITERS))
def test_every_layout_trains_and_reports_on_the_validation_part(tmp_path: Path, layout: str, classes: int) -> None:
    datamodule = AffectNetDataModule(WRITERS[layout](tmp_path), classes=classes, size=16, batch_size=10)
    datamodule.setup()
    assert datamodule.protocol.name == f"affectnet{classes}@native"
    assert datamodule.protocol.monitor == "mean_class_accuracy"
    assert datamodule.num_classes == classes
    assert datamodule.class_counts == (49,) * classes  # 50 less 2%
    assert set(datamodule.index.partition[datamodule.splits.test.rows]) == {"val"}
    assert len(datamodule.splits.test) == 2 * classes
    assert next(iter(datamodule.train_dataloader()))["image"].shape == (10, 3, 16, 16)
    assert sum(len(batch["label"]) for batch in datamodule.test_dataloader()) == 2 * classes


@pytest.mark.parametrize("cache", ["memmap", "none"])
def test_faces_are_cropped_by_their_boxes(tmp_path: Path, cache: str) -> None:
    """The writer draws the box in one colour per class, on noise: a correct crop contains no noise."""
    datamodule = AffectNetDataModule(write_affectnet_csv(tmp_path), size=12, cache=cache, cache_dir=tmp_path / "cache")
    datamodule.setup("test")
    for batch in datamodule.test_dataloader():
        for image, label in zip(batch["image"].numpy(), batch["label"].tolist(), strict=True):
            assert (image == np.array([200, 20 * label, 90], dtype=np.uint8)[:, None, None]).all()


def test_box_outside_the_photo_names_the_photo(tmp_path: Path) -> None:
    root = write_affectnet_csv(tmp_path)
    path = root / "validation.csv"
    path.write_text(path.read_text().replace("02000003.jpg,10,8,20,16", "02000003.jpg,100,8,20,16"))
    with pytest.raises(UserError, match=r"02000003\.jpg: the face box is outside the image"):
        AffectNetDataModule(root, size=12, cache_dir=tmp_path / "cache").setup("test")


def test_partial_copies_are_compared_with_the_release(tmp_path: Path) -> None:
    notes = {}
    for layout, writer in WRITERS.items():
        datamodule = AffectNetDataModule(writer(tmp_path / layout))
        datamodule.setup("predict")
        notes[layout] = " ".join(datamodule.notes)
    assert "val has 16 images under the rule 'label', but a complete copy has 4,000" in notes["csv"]
    assert "val has 16 images under the rule 'label', but a complete copy has 3,999" in notes["npy"]
    assert "val has" not in notes["folders"]  # the original release is unknown
    assert all("a complete copy has 287,651" in note for note in notes.values())


def test_training_works_without_the_validation_part(tmp_path: Path) -> None:
    datamodule = AffectNetDataModule(write_affectnet_npy(tmp_path, 400, 0), size=16, batch_size=8)
    datamodule.setup("fit")
    next(iter(datamodule.train_dataloader()))
    assert any("the test images are missing" in note for note in datamodule.notes)


def test_class_without_training_images_is_noted(tmp_path: Path) -> None:
    datamodule = AffectNetDataModule(
        write_class_folders(tmp_path, {"train": 350, "val": 14}, [str(i) for i in range(7)]), classes=8
    )
    datamodule.setup("predict")
    assert "no training image of contempt" in datamodule.notes


def test_name_and_classes_must_agree(tmp_path: Path) -> None:
    assert AffectNetDataModule(tmp_path, name="affectnet7", classes=7).dataset == "affectnet7"
    assert AffectNetDataModule(tmp_path).dataset == "affectnet8"
    with pytest.raises(UserError, match=r"dataset\.classes=7 contradicts affectnet8: use dataset=affectnet7"):
        AffectNetDataModule(tmp_path, name="affectnet8", classes=7)
    with pytest.raises(ValueError, match="`classes` to be 7 or 8, but got 6"):
        AffectNetDataModule(tmp_path, classes=6)
