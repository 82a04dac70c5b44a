from __future__ import annotations

from pathlib import Path

import pytest
from data.layout_trees import write_class_folders, write_table

from mfer_lightning.data.datasets import FolderDataModule
from mfer_lightning.errors import UserError

CLASSES = ["Happy", "boredom"]


def opened(root: Path, **options) -> FolderDataModule:
    datamodule = FolderDataModule(root, size=16, batch_size=8, **options)
    datamodule.setup()
    return datamodule


def sizes(datamodule: FolderDataModule) -> list[int]:
    return [len(datamodule.splits[name]) for name in ("train", "val", "test")]


@pytest.mark.parametrize(
    ("counts", "protocol", "expected"),
    [
        ({"train": 40, "val": 10, "test": 6}, "native", [40, 10, 6]),
        ({"train": 40, "val": 10}, "native", [40, 10, 0]),
        ({"train": 40, "test": 6}, "holdout", [36, 4, 6]),
        ({".": 40}, "holdout", [36, 4, 0]),
    ],
)
def test_protocol_depends_on_the_available_partitions(
    tmp_path: Path, counts: dict, protocol: str, expected: list[int]
) -> None:
    datamodule = opened(write_class_folders(tmp_path, counts, CLASSES))
    assert datamodule.protocol.name == f"folder@{protocol}"
    assert datamodule.class_names == datamodule.protocol.class_names == ("happiness", "boredom")
    assert sizes(datamodule) == expected
    assert next(iter(datamodule.train_dataloader()))["image"].shape == (8, 3, 16, 16)


def test_explicit_protocol_is_kept(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path, {"train": 40, "val": 10}, CLASSES)
    assert sizes(opened(root, protocol="holdout")) == [36, 4, 0]
    with pytest.raises(UserError, match="val split of folder@native is empty"):
        opened(write_class_folders(tmp_path / "b", {"train": 40}, CLASSES), protocol="native")
    with pytest.raises(UserError, match="did you mean 'native'"):
        FolderDataModule(root, protocol="nativ")


@pytest.mark.parametrize("named", [False, True])
def test_table_can_be_trained_on(tmp_path: Path, named: bool) -> None:
    rows = [f"images/{i}.png,{('sad', 'happy')[i % 2]},{'val' if i < 4 else 'train'}" for i in range(20)]
    write_table(tmp_path, rows, "path,label,split")
    datamodule = opened(tmp_path / "labels.csv" if named else tmp_path)
    assert datamodule.class_names == ("happiness", "sadness")
    assert sizes(datamodule) == [16, 4, 0]
    assert next(iter(datamodule.train_dataloader()))["image"].shape == (8, 3, 16, 16)


def test_empty_class_is_noted(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path, {"train": 40}, CLASSES)
    (root / "train" / "awe").mkdir()
    datamodule = opened(root)
    assert datamodule.class_counts == (18, 0, 18)
    assert "no training image of awe" in datamodule.notes
