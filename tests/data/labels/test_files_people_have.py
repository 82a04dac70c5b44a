"""Real-world files: tables, folders and copies that were once misread or rejected."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data.layout_trees import write_class_folders, write_picture, write_rafdb

from mfer_lightning.cli import main
from mfer_lightning.data.datasets import AffectNetDataModule, FolderDataModule, RAFDBDataModule
from mfer_lightning.data.datasets.folder import read_folder
from mfer_lightning.data.datasets.lookalikes import refuse_lookalike
from mfer_lightning.data.index import FaceIndex
from mfer_lightning.errors import UserError

TWO = "1.jpg,happy\n2.jpg,sad\n"


def pictures(root: Path, *names: str) -> Path:
    rng = np.random.default_rng(0)
    for name in names:
        write_picture(root / name, rng)
    return root


def table(root: Path, text: str, *images: str, name: str = "labels.csv") -> Path:
    pictures(root, *(images or ("1.jpg", "2.jpg")))
    (root / name).write_text(text)
    return root


def labels(index: FaceIndex) -> dict[str, str]:
    return {path: index.class_names[k] for path, k in zip(index.path.tolist(), index.label.tolist(), strict=True)}


def refused(root: Path, *parts: str, **options: Any) -> None:
    with pytest.raises(UserError) as error:
        read_folder(root, **options)
    for part in parts:
        assert part in str(error.value)


class TestTableWithFolders:
    def test_non_class_folders_are_ignored(self, tmp_path: Path) -> None:
        root = table(tmp_path, "filename,emotion\npart1/1.jpg,happy\npart2/2.jpg,sad\n", "part1/1.jpg", "part2/2.jpg")
        assert labels(read_folder(root)) == {"part1/1.jpg": "happiness", "part2/2.jpg": "sadness"}

    def test_names_without_folders_are_found_in_subfolders(self, tmp_path: Path) -> None:
        root = table(tmp_path, f"filename,emotion\n{TWO}", "part1/1.jpg", "part2/2.jpg")
        index = read_folder(root)
        assert labels(index) == {"part1/1.jpg": "happiness", "part2/2.jpg": "sadness"}
        assert index.notes == ("2 images in labels.csv were found in folders that it does not name",)

    def test_ambiguous_names_are_rejected(self, tmp_path: Path) -> None:
        root = table(tmp_path, f"filename,emotion\n{TWO}", "part1/1.jpg", "part2/1.jpg", "part2/2.jpg")
        refused(root, "lists 1.jpg, but", "part1/1.jpg, part2/1.jpg")

    def test_contradicting_table_and_folders_require_a_choice(self, tmp_path: Path) -> None:
        root = table(tmp_path, "pth,label\nanger/1.jpg,happy\nsad/2.jpg,sad\n", "anger/1.jpg", "sad/2.jpg")
        refused(root, "disagree on 1 of 2 images", "anger/1.jpg is happiness", "dataset.table=labels.csv", "table=none")
        assert labels(read_folder(root, table="labels.csv"))["anger/1.jpg"] == "happiness"
        assert labels(read_folder(root, table="none"))["anger/1.jpg"] == "anger"
        refused(root, "there is no file other.csv", table="other.csv")

    @pytest.mark.parametrize("shift", [0, 1])
    def test_contradicting_numbered_class_folders_require_a_choice(self, tmp_path: Path, shift: int) -> None:
        rows = [(f"{i % 3}/{i}.jpg", i % 3 + shift) for i in range(12)]
        text = "image,label\n" + "".join(f"{path},{label}\n" for path, label in rows)
        root = table(tmp_path, text, *(path for path, _ in rows))
        names = dict(enumerate(("anger", "fear", "sad", "happy")))
        if shift:
            refused(root, "disagree on 8 of 12 images", class_names=names)
        else:
            assert len(read_folder(root, class_names=names)) == 12

    def test_numbered_shard_folders_do_not_contradict_the_table(self, tmp_path: Path) -> None:
        rows = [(f"{i % 2}/{i}.jpg", i // 2 % 2) for i in range(8)]
        text = "image,label\n" + "".join(f"{path},{label}\n" for path, label in rows)
        assert len(read_folder(table(tmp_path, text, *(p for p, _ in rows)), class_names=["sad", "happy"])) == 8

    def test_class_folders_missing_from_the_table_require_a_choice(self, tmp_path: Path) -> None:
        root = table(tmp_path, f"image,label\n{TWO}", "1.jpg", "2.jpg", "anger/3.jpg", "sad/4.jpg")
        refused(root, "the table lacks 2 of the 2 images in anger, sad")

    def test_few_unlisted_images_are_noted(self, tmp_path: Path) -> None:
        images = ("anger/1.jpg", "sad/2.jpg", "sad/3.jpg", "anger/4.jpg")
        root = table(tmp_path, "image,label\nanger/1.jpg,anger\nsad/2.jpg,sad\nsad/3.jpg,sad\n", *images)
        assert read_folder(root).notes == ("1 image in a class folder is not in labels.csv and was left out",)

    def test_unrecognised_table_requires_a_choice(self, tmp_path: Path) -> None:
        root = table(tmp_path, "image,who\npart1/1.jpg,a\n", "part1/1.jpg", "part2/2.jpg")
        refused(root, "no column has a usual name for the labels", "dataset.table=none")
        assert read_folder(root, table="none").class_names == ("part1", "part2")

    def test_text_file_without_labels_is_ignored_next_to_class_folders(self, tmp_path: Path) -> None:
        write_class_folders(tmp_path, {".": 4}, ["happy", "sad"])
        (tmp_path / "README.txt").write_text("see happy/000.png\n")
        (tmp_path / "list.txt").write_text("happy/000.png 3\nsad/001.png 4\n")
        (tmp_path / "about.csv").write_text("image,photographer\nhappy/000.png,me\n")
        assert len(read_folder(tmp_path)) == 4

    def test_ignored_table_is_named_in_the_error(self, tmp_path: Path) -> None:
        root = table(tmp_path, "a,b\n1,2\n", "images/1.jpg", "images/2.jpg")
        refused(root, "has only one class, images", "labels.csv was not read", "its columns: a, b")

    def test_one_table_per_partition_is_read(self, tmp_path: Path) -> None:
        for part in ("train", "val", "test"):
            images = [f"{part}/{label}/{part}-{label}.jpg" for label in ("happy", "sad")]
            rows = "".join(f"{image},{image.split('/')[1]}\n" for image in images)
            table(tmp_path, f"image,emotion\n{rows}", *images, name=f"{part}_labels.csv")
        index = read_folder(tmp_path)
        assert index.partition.tolist() == ["train"] * 2 + ["val"] * 2 + ["test"] * 2
        both = ["train_labels.csv", "val_labels.csv"]
        assert read_folder(tmp_path, table=both).partition.tolist() == ["train"] * 2 + ["val"] * 2
        (tmp_path / "val_labels.csv").write_text("image,emotion\nval/happy/val-happy.jpg,sad\n")
        refused(tmp_path, "disagree on 1 of 5", "dataset.table=[test_labels.csv,train_labels.csv,val_labels.csv]")
        shutil.copy(tmp_path / "train_labels.csv", tmp_path / "test_labels.csv")
        refused(tmp_path, "lists train/happy/train-happy.jpg, which another table")

    def test_partition_folders_without_split_column_are_noted(self, tmp_path: Path) -> None:
        root = table(tmp_path, "image,label\ntrain/1.jpg,happy\ntest/2.jpg,sad\n", "train/1.jpg", "test/2.jpg")
        assert "no split column, so all faces in test, train are used for training" in read_folder(root).notes[0]


class TestColumns:
    def test_column_names_can_be_given(self, tmp_path: Path) -> None:
        root = table(tmp_path, f"where,what\n{TWO}")
        refused(root, "labels.csv, line 1", "where, what", "dataset.columns={path: <column>, label: <column>}")
        given = {"path": "where", "label": "What"}
        assert labels(read_folder(root, columns=given)) == {"1.jpg": "happiness", "2.jpg": "sadness"}

    def test_two_columns_for_one_role_require_a_choice(self, tmp_path: Path) -> None:
        root = table(tmp_path, "image,label,emotion\n1.jpg,3,happy\n2.jpg,4,sad\n")
        refused(root, "label, emotion", "columns={path: image, label: <column>}")
        index = read_folder(root, columns={"label": "emotion"})
        assert labels(index) == {"1.jpg": "happiness", "2.jpg": "sadness"}
        assert index.attributes["label"].tolist() == ["3", "4"]

    @pytest.mark.parametrize("columns", [{"label": "mood"}, {"label": 7}, {"labels": "emotion"}])
    def test_missing_columns_are_rejected(self, tmp_path: Path, columns: dict) -> None:
        refused(table(tmp_path, f"image,emotion\n{TWO}"), "dataset.columns", columns=columns)

    def test_other_columns_become_attributes(self, tmp_path: Path) -> None:
        text = (
            "image,label,split,age,score,note\n2.jpg,sad,test,30,0.25,x\n1.jpg,sad,train,40,1,y\n3.jpg,joy,train,9,0,"
        )
        index = read_folder(table(tmp_path, text + "z" * 65, "1.jpg", "2.jpg", "3.jpg"))
        assert index.path.tolist() == ["1.jpg", "3.jpg", "2.jpg"]
        assert index.attributes["age"].tolist() == ["40", "9", "30"]
        np.testing.assert_array_equal(index.attributes["score"], np.array([1, 0, 0.25], dtype=np.float32))
        assert set(index.attributes) == {"age", "score"}  # columns with long texts are left out


class TestNumbers:
    @pytest.mark.parametrize("spelled", ["0.0,3.0,6.0", "0,3,6", "00,03,06"])
    def test_numeric_labels_in_a_table_require_class_names(self, tmp_path: Path, spelled: str) -> None:
        rows = "".join(f"{i}.jpg,{label}\n" for i, label in enumerate(spelled.split(",")))
        root = table(tmp_path, f"image,label\n{rows}", "0.jpg", "1.jpg", "2.jpg")
        refused(
            root, "the classes are numbers", "dataset.class_names=[neutral,happiness,...]", "class_names=affectnet8"
        )
        assert read_folder(root, class_names="affectnet7").class_names == ("neutral", "surprise", "anger")

    def test_numeric_class_folders_require_class_names(self, tmp_path: Path) -> None:
        root = write_class_folders(tmp_path, {"train": 6}, ["0", "1", "2"])
        refused(root, "the classes are numbers (0, 1, 2)")
        assert read_folder(root, class_names=["joy", "awe", "sad"]).class_names == ("happiness", "awe", "sadness")

    @pytest.mark.parametrize(
        ("numbers", "given", "expected"),
        [
            ("0 1 2", ["a", "b", "c"], ["a", "b", "c"]),
            ("1 2 3", ["a", "b", "c"], ["a", "b", "c"]),
            ("1 2", {1: "a", 2: "b"}, ["a", "b"]),
            ("1 7", "rafdb", ["surprise", "neutral"]),
            ("0 6", "rafdb", ["surprise", "neutral"]),
            ("0 3", "fer2013", ["anger", "happiness"]),
        ],
    )
    def test_class_names_map_numbers_to_emotions(
        self, tmp_path: Path, numbers: str, given: Any, expected: Sequence[str]
    ) -> None:
        values = numbers.split()
        images = [f"{i}.jpg" for i in range(len(values))]
        text = "image,label\n" + "".join(f"{image},{v}\n" for image, v in zip(images, values, strict=True))
        assert list(labels(read_folder(table(tmp_path, text, *images), class_names=given)).values()) == expected

    @pytest.mark.parametrize(
        ("values", "given", "message"),
        [
            (("1", "2"), ["a", "b", "c"], "unclear whether dataset.class_names counts from 0 or 1"),
            (("0", "5"), ["a", "b", "c"], "no name for 5"),
            (("1", "happy"), None, "some labels are numbers (1), others are names (happy)"),
            (("0.5", "1"), ["a", "b"], "the label 0.5 is not a whole number"),
            (('"0,5"', "1"), ["a", "b"], "the label 0,5 is not a whole number"),
            (("nan", "sad"), None, "line 2: expected a path and a label"),
            (("0", "1"), "afectnet8", "did you mean 'affectnet8'"),
            (("0", "1"), ["a", "A"], "two or more different classes"),
            (("joy", "awe"), ["joy", "sad"], "no entry for awe in dataset.class_names"),
        ],
    )
    def test_ambiguous_numbers_are_rejected(
        self, tmp_path: Path, values: tuple[str, str], given: Any, message: str
    ) -> None:
        root = table(tmp_path, f"image,label\n1.jpg,{values[0]}\n2.jpg,{values[1]}\n")
        refused(root, message, class_names=given)


class TestImageLocations:
    def test_absolute_paths_inside_the_root_are_accepted(self, tmp_path: Path) -> None:
        root = table(tmp_path, f"image,label\n{tmp_path}/p/1.jpg,happy\n{tmp_path}/p/2.jpg,sad\n", "p/1.jpg", "p/2.jpg")
        assert read_folder(root).path.tolist() == ["p/1.jpg", "p/2.jpg"]

    @pytest.mark.parametrize("path", ["/etc/1.jpg", "../1.jpg", "C:\\\\1.jpg", "{root}x/1.jpg", "{root}/../1.jpg"])
    def test_paths_outside_the_root_are_rejected(self, tmp_path: Path, path: str) -> None:
        root = table(tmp_path / "r", f"image,label\n{path.format(root=tmp_path / 'r')},happy\n2.jpg,sad\n")
        refused(root, "line 2", "points outside the dataset's folder")

    def test_extension_case_is_ignored_with_a_note(self, tmp_path: Path) -> None:
        root = table(tmp_path, "image,label\n1.JPG,happy\n2.JPG,sad\n")
        index = read_folder(root)
        assert index.path.tolist() == ["1.jpg", "2.jpg"]
        assert len(index.notes) == 1
        assert "2 image names in labels.csv are spelled differently from their files" in index.notes[0]

    def test_ambiguous_extension_case_is_rejected(self, tmp_path: Path) -> None:
        refused(
            table(tmp_path, "image,label\n1.JPG,happy\n2.jpg,sad\n", "1.Jpg", "1.jpg", "2.jpg"), "1 of the 2 images"
        )
        refused(table(tmp_path / "b", "image,label\n1.JPG,happy\n1.jpg,sad\n", "1.jpg"), "1 of the 2 images")

    @pytest.mark.parametrize(
        ("listed", "there"),
        [("1.png", "1.jpg"), ("p/1.jpg", "p/p/1.jpg"), ("p/1.jpg", "1.jpg"), ("p/1.jpg", "p/q/1.jpg")],
    )
    def test_similar_names_are_suggested(self, tmp_path: Path, listed: str, there: str) -> None:
        root = table(tmp_path, f"image,label\n{listed},happy\n2.jpg,sad\n", there, "2.jpg")
        refused(root, "1 of the 2 images", f"{listed} resembles {there}: correct the names")

    def test_similar_names_are_suggested_for_other_lists(self, tmp_path: Path) -> None:
        root = write_rafdb(tmp_path)
        for file in (root / "Image" / "aligned").glob("*.jpg"):
            file.rename(file.with_suffix(".png"))
        with pytest.raises(UserError, match=r"resembles Image/aligned/train_00001_aligned\.png"):
            RAFDBDataModule(root).read()
        for file in (root / "Image" / "aligned").glob("*.png"):
            file.rename(file.with_suffix(".JPG"))
        index = RAFDBDataModule(root).read()
        assert index.path[0] == "Image/aligned/train_00001_aligned.JPG"
        assert len(index.notes) == 2  # one per partition

    def test_every_image_counts_and_other_files_are_noted(self, tmp_path: Path) -> None:
        root = write_class_folders(tmp_path, {".": 6}, ["happy", "anger"])
        for ending in ("jfif", "avif", "JPE"):
            shutil.copy(root / "happy" / "000.png", root / "happy" / f"x.{ending}")
        (root / "happy" / "notes.md").write_text("")
        (root / "happy" / "Thumbs.db").write_text("")
        (root / "anger" / "s1").mkdir()
        index = read_folder(root)
        assert index.label.tolist().count(0) == 6
        assert index.notes == ("left out: 1 file that is not an image (.md) and 1 folder inside a class folder",)


class TestOtherDatasets:
    def test_rafdb_renumbered_as_affectnet_is_recognised(self, tmp_path: Path) -> None:
        names = [f"train/{i % 7}/train_{i:05d}_aligned.jpg" for i in range(21)]
        root = pictures(tmp_path, *names, *(n.replace("train", "val", 1).replace("train_0", "test_") for n in names))
        datamodule = AffectNetDataModule(root, classes=7)
        with pytest.raises(UserError, match=r"named as RAF-DB's are .*use dataset=rafdb|Use dataset=rafdb"):
            datamodule.setup("predict")
        AffectNetDataModule(root, classes=7, trust_labels=True).setup("predict")
        with pytest.raises(UserError, match="RAF-DB"):
            FolderDataModule(root, class_names="affectnet7").setup("predict")
        FolderDataModule(root, class_names="affectnet7", trust_labels=True).setup("predict")

    @staticmethod
    def index(dataset: str, counts: Sequence[int]) -> FaceIndex:
        rows = [(f"{k}/{i}.jpg", "train", k) for k, count in enumerate(counts) for i in range(count)]
        names = tuple("abcdefgh"[: len(counts)])
        return FaceIndex.from_rows(rows, dataset=dataset, layout="class folders", root=Path("x"), class_names=names)

    def test_exact_class_counts_reveal_another_order(self) -> None:
        raf = (1290, 281, 717, 4772, 1982, 705, 2524)
        for dataset in ("affectnet7", "folder"):
            with pytest.raises(UserError, match="its train classes have exactly the counts of RAF-DB"):
                refuse_lookalike(self.index(dataset, raf))
        refuse_lookalike(self.index("rafdb", raf))
        refuse_lookalike(self.index("folder", (1291, *raf[1:])))
        with pytest.raises(UserError, match="in another order"):
            refuse_lookalike(self.index("rafdb", sorted(raf)))

    def test_rafdb_as_a_folder_dataset_is_recognised(self, tmp_path: Path) -> None:
        root = write_rafdb(tmp_path, "classes")
        refused(root, "looks like RAF-DB, which has a separate reader", f"use dataset=rafdb dataset.root={root}")

    @pytest.mark.parametrize("named", [True, False])
    def test_rafdb_one_level_down_is_suggested(self, tmp_path: Path, named: bool) -> None:
        if named:
            write_rafdb(tmp_path / "DATASET", "classes")
            (tmp_path / "train_labels.csv").write_text("image,label\ntrain_00001_aligned.jpg,1\n")
        else:
            write_class_folders(tmp_path / "DATASET", {"train": 7, "test": 7}, list("1234567"))
        with pytest.raises(UserError, match=rf"use dataset=rafdb dataset\.root={tmp_path / 'DATASET'}\."):
            RAFDBDataModule(tmp_path).read()
        refused(tmp_path, f"dataset.root={tmp_path / 'DATASET'}")
        if not named:
            refused(tmp_path / "DATASET", "for its files, use dataset=rafdb")


class TestFolderLevels:
    @pytest.mark.parametrize("part", ["train/", ""])
    def test_folder_one_level_too_deep(self, tmp_path: Path, part: str) -> None:
        root = pictures(tmp_path, f"{part}happiness/s1/1.jpg", f"{part}anger/s1/2.jpg")
        refused(root, "contains no images, only subfolders: s1", "move those in s1/ and the others up into anger/")

    @pytest.mark.parametrize("inner", ["happiness", "train/happiness", "3"])
    def test_folder_one_level_too_high(self, tmp_path: Path, inner: str) -> None:
        refused(pictures(tmp_path, f"mine/{inner}/1.jpg"), f"Use that folder: dataset.root={tmp_path / 'mine'}")

    def test_class_with_test_but_no_training_images(self, tmp_path: Path) -> None:
        write_class_folders(tmp_path, {"train": 6}, ["happy", "anger"])
        write_class_folders(tmp_path, {"test": 6}, ["happy", "awe"])
        refused(tmp_path, "has images of awe in val or test but none in train", "class_names=[happiness,anger,awe]")
        assert len(read_folder(tmp_path, class_names=["happy", "anger", "awe"])) == 12
        shutil.rmtree(tmp_path / "train")
        assert len(read_folder(tmp_path)) == 6  # to evaluate a model on


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    return int(stop.value.code or 0)


@pytest.mark.slow
def test_options_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    root = table(
        tmp_path / "faces", "".join(f"{i}.jpg;{i % 2}\n" for i in range(1, 9)), *(f"{i}.jpg" for i in range(1, 9))
    )
    where = ("data", "dataset=folder", f"dataset.root={root}", "images=none")
    assert run(*where) == 2
    assert "dataset.class_names" in capsys.readouterr().err
    assert run(*where, "dataset.class_names=[sad,happy]") == 1
    assert run(*where, "dataset.class_names={0:sad,1:happy}", "dataset.columns={path:0,label:1}") == 1
    assert run(*where, "dataset.class_names=affectnet8", "dataset.table=labels.csv", "dataset.trust_labels=true") == 1
    out = capsys.readouterr().out
    assert "sadness" in out
    assert "happiness" in out
