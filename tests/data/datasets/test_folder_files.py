from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from data.layout_trees import write_affectnet_npy, write_class_folders, write_picture, write_rafdb, write_table
from data.trees import write_ferplus

from mfer_lightning.data.datasets.folder import CLASS_FOLDERS, TABLE, read_folder
from mfer_lightning.data.labels.numbers import order_of
from mfer_lightning.errors import UserError

FOUR = ["Happy", "boredom", "angry", "Awe"]
ORDER = ("happiness", "anger", "awe", "boredom")
ROWS = ["a/1.png,Happy", "a/2.png,angry", "b/1.png,Happy", "b/2.png,angry"]


def label_names(index) -> list[str]:
    return [index.class_names[k] for k in index.label.tolist()]


def test_known_emotions_come_first_then_alphabetical_order() -> None:
    assert order_of(["zest", "contempt", "awe", "neutral", "awe"]) == ("neutral", "contempt", "awe", "zest")


class TestClassFolders:
    def test_partitions(self, tmp_path: Path) -> None:
        index = read_folder(write_class_folders(tmp_path, {"train": 8, "val": 4, "test": 4}, FOUR))
        assert (index.dataset, index.layout, index.class_names) == ("folder", CLASS_FOLDERS.name, ORDER)
        assert index.partition.tolist() == ["train"] * 8 + ["val"] * 4 + ["test"] * 4
        spelled = {"Happy": "happiness", "boredom": "boredom", "angry": "anger", "Awe": "awe"}
        assert label_names(index) == [spelled[path.split("/")[1]] for path in index.path.tolist()]
        assert all((tmp_path / path).is_file() for path in index.path.tolist())

    @pytest.mark.parametrize("names", [("Train", "Valid", "Test"), ("training", "validation", "testing")])
    def test_alternative_partition_names(self, tmp_path: Path, names: tuple[str, ...]) -> None:
        index = read_folder(write_class_folders(tmp_path, dict.fromkeys(names, 4), FOUR))
        assert index.partition.tolist() == ["train"] * 4 + ["val"] * 4 + ["test"] * 4

    def test_all_images_are_train_without_partitions(self, tmp_path: Path) -> None:
        index = read_folder(write_class_folders(tmp_path, {".": 8}, FOUR))
        assert set(index.partition.tolist()) == {"train"}
        assert index.path[0] == "Awe/003.png"
        assert len(index) == 8

    def test_hidden_and_non_image_files_are_ignored(self, tmp_path: Path) -> None:
        root = write_class_folders(tmp_path, {"train": 8}, FOUR)
        before = read_folder(root).fingerprint()
        (root / "train" / ".cache").mkdir()
        (root / "__MACOSX").mkdir()
        (root / "train" / "Awe" / "Thumbs.db").write_text("")
        (root / "train" / "Awe" / "._003.png").write_text("")
        (root / "notes.csv").write_text("a,b\n1,2\n")
        assert read_folder(root).fingerprint() == before

    def test_class_spelling_may_differ_between_partitions(self, tmp_path: Path) -> None:
        write_class_folders(tmp_path, {"train": 4}, ["happy", "sad"])
        write_class_folders(tmp_path, {"val": 4}, ["Happiness", "sadness"])
        assert read_folder(tmp_path).class_names == ("happiness", "sadness")

    def test_empty_folder_is_still_a_class(self, tmp_path: Path) -> None:
        root = write_class_folders(tmp_path, {"train": 4}, FOUR)
        (root / "train" / "Awe" / "003.png").unlink()
        assert read_folder(root).class_names == ORDER
        assert len(read_folder(root)) == 3


class TestTable:
    def test_path_and_label(self, tmp_path: Path) -> None:
        index = read_folder(write_table(tmp_path, ROWS))
        assert (index.layout, index.class_names) == (TABLE.name, ("happiness", "anger"))
        assert index.path.tolist() == [row.split(",")[0] for row in ROWS]
        assert index.label.tolist() == [0, 1, 0, 1]
        assert set(index.partition.tolist()) == {"train"}

    def test_splits_are_sorted(self, tmp_path: Path) -> None:
        rows = ["1.png,sad,test", "2.png,happy,train", "3.png,sad,Valid", "4.png,sad,training"]
        index = read_folder(write_table(tmp_path, rows, "path,label,split"))
        assert index.path.tolist() == ["2.png", "4.png", "3.png", "1.png"]
        assert index.partition.tolist() == ["train", "train", "val", "test"]
        assert label_names(index) == ["happiness", "sadness", "sadness", "sadness"]

    def test_columns_are_found_by_name(self, tmp_path: Path) -> None:
        write_table(tmp_path, ROWS)
        (tmp_path / "labels.csv").write_text("age,Label,Path\n9,happy,a/1.png\n10,angry,a/2.png\n")
        assert label_names(read_folder(tmp_path)) == ["happiness", "anger"]

    def test_duplicate_rows_are_read_once(self, tmp_path: Path) -> None:
        root = write_table(tmp_path, ["a/1.png,happy,7", "a/2.png,sad,8", "./a/1.png,happy,7"], "path,label,age")
        index = read_folder(root)
        assert (index.path.tolist(), label_names(index)) == (["a/1.png", "a/2.png"], ["happiness", "sadness"])
        assert index.attributes["age"].tolist() == ["7", "8"]
        assert index.notes == ("1 row of labels.csv repeats an earlier row and was left out",)

    def test_image_in_two_splits_is_rejected(self, tmp_path: Path) -> None:
        root = write_table(tmp_path, ["1.png,sad,test", "2.png,happy,train", "1.png,sad,train"], "path,label,split")
        with pytest.raises(UserError, match=r"lists a file twice: 1\.png on lines 2 and 4"):
            read_folder(root)

    @pytest.mark.parametrize("name", ["labels.xlsx", "annotations.JSON"])
    def test_binary_tables_are_named(self, tmp_path: Path, name: str) -> None:
        write_table(tmp_path, ["1.png,happy", "2.png,sad"])
        (tmp_path / "labels.csv").rename(tmp_path / name)
        with pytest.raises(UserError, match=f"Not read: {name}. If it contains the labels, save it as csv"):
            read_folder(tmp_path)

    def test_table_file_can_be_given_directly(self, tmp_path: Path) -> None:
        write_table(tmp_path, ROWS)
        write_table(tmp_path, ROWS[:2], name="few.csv")
        assert len(read_folder(tmp_path / "few.csv")) == 2
        with pytest.raises(UserError, match=r"several tables: few\.csv, labels\.csv\. .*dataset\.root=.*few\.csv"):
            read_folder(tmp_path)

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("a/2.png,angry", "a/2.png", r"labels\.csv, line 3: expected 2 fields \(path,label\), but got '1 field'"),
            ("a/2.png,angry", "a/2.png,", "line 3: expected a path and a label"),
            ("a/2.png", "a/1.png", r"lists a file twice: a/1\.png on lines 2 and 3"),
            ("a/2.png", "../2.png", "line 3: .* points outside the dataset's folder"),
            ("a/2.png", "/etc/passwd", "points outside the dataset's folder"),
            ("a/2.png", "a/9.png", r"1 of the 4 images .* a/9\.png"),
        ],
    )
    def test_invalid_rows_name_file_and_line(self, tmp_path: Path, old: str, new: str, message: str) -> None:
        write_table(tmp_path, ROWS)
        path = tmp_path / "labels.csv"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))
        with pytest.raises(UserError, match=message):
            read_folder(tmp_path)

    def test_unknown_split_is_rejected(self, tmp_path: Path) -> None:
        write_table(tmp_path, ["1.png,sad,train", "2.png,happy,dev"], "path,label,split")
        with pytest.raises(UserError, match="line 3: expected train, val or test as the split, but got 'dev'"):
            read_folder(tmp_path)

    def test_table_without_required_columns_is_rejected(self, tmp_path: Path) -> None:
        write_table(tmp_path, ROWS, "where,what")
        with pytest.raises(
            UserError,
            match=r"labels\.csv, line 1: no column has a usual name .* its columns: "
            r"where, what",
        ):
            read_folder(tmp_path / "labels.csv")

    def test_empty_table_is_rejected(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"labels\.csv .* contains no image"):
            read_folder(write_table(tmp_path, []))
        (tmp_path / "labels.csv").write_text("")
        with pytest.raises(UserError, match=r"labels\.csv is empty"):
            read_folder(tmp_path)


class TestErrors:
    @pytest.mark.parametrize("name", ["nowhere", "nowhere/labels.csv"])
    def test_missing_folder(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(UserError) as error:
            read_folder(tmp_path / name)
        for part in (
            f"{tmp_path / name} does not exist",
            "train/<class>/",
            "path,label",
            "one folder per class",
            "paths.data",
        ):
            assert part in str(error.value)

    def test_empty_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="It contains: nothing"):
            read_folder(tmp_path)

    def test_other_datasets_are_recognised(self, tmp_path: Path) -> None:
        trees = {
            "ferplus": write_ferplus(tmp_path / "f", {"train": 8}),
            "rafdb": write_rafdb(tmp_path / "r"),
            "affectnet8": write_affectnet_npy(tmp_path / "a", 8, 8),
        }
        for dataset, root in trees.items():
            with pytest.raises(UserError, match=f"use dataset={dataset} dataset.root={root}"):
                read_folder(root)

    def test_images_without_class_folders(self, tmp_path: Path) -> None:
        write_picture(tmp_path / "train" / "1.png", np.random.default_rng(0))
        with pytest.raises(UserError, match="train contains 1 image and no class folders"):
            read_folder(tmp_path)

    def test_folder_one_level_too_high(self, tmp_path: Path) -> None:
        write_class_folders(tmp_path / "mine", {"train": 4}, FOUR)
        with pytest.raises(
            UserError, match=r"mine was taken for a class folder, but contains no images, only subfolders: train"
        ):
            read_folder(tmp_path)

    def test_single_class(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="has only one class, happiness"):
            read_folder(write_class_folders(tmp_path, {"train": 4}, ["happy"]))

    def test_no_images(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"contains no images\. Its classes: happiness, anger"):
            read_folder(write_class_folders(tmp_path, {"train": 0}, ["happy", "angry"]))

    def test_two_folders_of_one_class(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="train/happy and train/joy both mean happiness"):
            read_folder(write_class_folders(tmp_path, {"train": 4}, ["happy", "joy"]))

    def test_two_folders_of_one_partition(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="contains val and valid, and either could be the val images"):
            read_folder(write_class_folders(tmp_path, {"train": 4, "val": 4, "valid": 4}, FOUR))

    def test_unreadable_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_class_folders(tmp_path, {"train": 4}, FOUR)
        real = os.scandir

        def scandir(path):
            if str(path).endswith("angry"):
                raise PermissionError(13, "Permission denied", str(path))
            return real(path)

        monkeypatch.setattr(os, "scandir", scandir)
        with pytest.raises(UserError, match=r"Cannot read .*angry: Permission denied"):
            read_folder(tmp_path)
