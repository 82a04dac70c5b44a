from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from data.layout_trees import rafdb_names, write_class_folders, write_rafdb
from data.trees import write_ferplus

from mfer_lightning.data.datasets.rafdb import CLASS_FOLDERS, FLAT, WITH_LIST, read_rafdb
from mfer_lightning.data.datasets.registry import get_protocol
from mfer_lightning.data.splits import make_splits
from mfer_lightning.errors import UserError

LIST = "EmoLabel/list_patition_label.txt"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_rafdb(tmp_path / "raf-db")


def edit(tree: Path, old: str, new: str) -> None:
    text = (tree / LIST).read_text()
    assert old in text
    (tree / LIST).write_text(text.replace(old, new, 1))


def labels_by_name(root: Path) -> dict[str, int]:
    """Listed name -> RAF-DB's number, for every layout."""
    index = read_rafdb(root)
    names = [path.rpartition("/")[2].replace("_aligned", "") for path in index.path.tolist()]
    assert all(name.startswith(part) for name, part in zip(names, index.partition.tolist(), strict=True))
    return dict(zip(names, (index.label + 1).tolist(), strict=True))


def test_official_layout_is_read(tree: Path) -> None:
    index = read_rafdb(tree)
    assert (index.dataset, index.layout) == ("rafdb", WITH_LIST.name)
    assert index.path[:2].tolist() == ["Image/aligned/train_00001_aligned.jpg", "Image/aligned/train_00002_aligned.jpg"]
    assert index.partition.tolist() == ["train"] * 28 + ["test"] * 14
    assert index.label.tolist() == [i % 7 for i in range(42)]
    assert index.class_names == ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
    assert index.votes is index.box is index.group is None
    assert dict(index.attributes) == {}


@pytest.mark.parametrize(
    ("options", "layout"),
    [
        ({"layout": "official"}, WITH_LIST.name),
        ({"layout": "official", "list_name": "EmoLabel/list_partition_label.txt"}, WITH_LIST.name),
        ({"layout": "official", "list_name": "list_patition_label.txt"}, WITH_LIST.name),
        ({"layout": "flat"}, FLAT.name),
        ({"layout": "flat", "list_name": "list_patition_label.txt"}, FLAT.name),
        ({"layout": "flat", "test_folder": "test"}, FLAT.name),
        ({"layout": "flat", "test_folder": "Val"}, FLAT.name),
        ({"layout": "classes"}, CLASS_FOLDERS.name),
        ({"layout": "classes", "test_folder": "test"}, CLASS_FOLDERS.name),
        ({"layout": "classes", "by_name": True}, CLASS_FOLDERS.name),
    ],
)
def test_every_layout_gives_the_same_labels_and_partitions(tmp_path: Path, options: dict, layout: str) -> None:
    root = write_rafdb(tmp_path, **options)
    assert read_rafdb(root).layout == layout
    assert labels_by_name(root) == rafdb_names(28, 14)


def test_every_layout_gives_the_same_holdout(tmp_path: Path) -> None:
    def held(layout: str) -> set[str]:
        index = read_rafdb(write_rafdb(tmp_path / layout, layout, train=140))
        splits = make_splits(index, get_protocol("rafdb", "holdout"))
        return {path.rpartition("/")[2] for path in index.path[splits.val.rows].tolist()}

    chosen = held("official")
    assert len(chosen) == 14
    assert held("flat") == held("classes") == chosen


def test_images_named_exactly_as_in_the_list_are_found(tree: Path) -> None:
    for path in (tree / "Image" / "aligned").iterdir():
        path.rename(path.with_name(path.name.replace("_aligned", "")))
    assert read_rafdb(tree).path[0] == "Image/aligned/train_00001.jpg"


def test_windows_list_with_blank_lines_is_read(tree: Path) -> None:
    before = read_rafdb(tree).fingerprint()
    path = tree / LIST
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n\r\n")
    assert read_rafdb(tree).fingerprint() == before


@pytest.mark.parametrize("layout", ["official", "flat", "classes"])
def test_missing_test_partition_is_allowed(tmp_path: Path, layout: str) -> None:
    root = write_rafdb(tmp_path, layout)
    for path in list(root.rglob("test_*_aligned.jpg")):
        path.unlink()
    assert set(read_rafdb(root).partition.tolist()) == {"train"}


def test_class_folders_are_read_if_the_list_has_no_images(tmp_path: Path) -> None:
    root = write_rafdb(tmp_path, "classes")
    (root / "list_patition_label.txt").write_text("train_00001.jpg 1\n")
    assert read_rafdb(root).layout == CLASS_FOLDERS.name


def test_empty_class_folder_is_allowed(tmp_path: Path) -> None:
    root = write_rafdb(tmp_path, "classes")
    for path in (root / "train" / "2").iterdir():
        path.unlink()
    index = read_rafdb(root)
    assert np.bincount(index.label[index.partition == "train"], minlength=7).tolist() == [4, 0, 4, 4, 4, 4, 4]
    notes = make_splits(index, get_protocol("rafdb", "paper")).notes
    assert "no training image of fear" in notes


def test_gender_race_and_age_are_read_if_present(tmp_path: Path) -> None:
    attributes = read_rafdb(write_rafdb(tmp_path, annotated=True)).attributes
    assert list(attributes) == ["gender", "race", "age"]
    assert attributes["gender"][:4].tolist() == ["unknown", "female", "unsure", "male"]
    assert attributes["race"][:4].tolist() == ["unknown", "African-American", "Asian", "Caucasian"]
    assert attributes["age"][:6].tolist() == ["unknown", "4-19", "20-39", "40-69", "70+", "0-3"]


class TestErrors:
    def test_missing_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UserError) as error:
            read_rafdb(tmp_path / "nowhere")
        for part in (
            f"{tmp_path / 'nowhere'} does not exist",
            LIST,
            "Image/aligned",
            "train/1",
            "on request",
            "paths.data",
        ):
            assert part in str(error.value)

    def test_relative_path_is_shown_as_absolute(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(UserError, match=f"{tmp_path}/data/raf-db does not exist"):
            read_rafdb("data/raf-db")

    def test_file_instead_of_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "x.zip").write_text("zip")
        with pytest.raises(UserError, match="is not a folder"):
            read_rafdb(tmp_path / "x.zip")

    def test_another_dataset_in_the_folder(self, tmp_path: Path) -> None:
        write_ferplus(tmp_path, {"train": 8})
        with pytest.raises(UserError, match=r"It contains: FER2013Train\. .* looks like FERPlus: use dataset=ferplus"):
            read_rafdb(tmp_path)

    def test_dataset_one_folder_deeper_is_suggested(self, tmp_path: Path) -> None:
        write_rafdb(tmp_path / "basic")
        with pytest.raises(UserError, match=rf"dataset=rafdb dataset\.root={tmp_path / 'basic'}"):
            read_rafdb(tmp_path)

    def test_class_folders_of_another_dataset(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"train/contempt: 'contempt' is not a class of RAF-DB"):
            read_rafdb(write_class_folders(tmp_path, {"train": 8}))
        with pytest.raises(UserError, match=r"'0' is not a class of RAF-DB.*1 to 7"):
            read_rafdb(write_class_folders(tmp_path / "b", {"train": 8}, [str(i) for i in range(8)]))

    def test_list_without_images(self, tree: Path) -> None:
        (tree / "Image").rename(tree / "Bilder")
        with pytest.raises(UserError, match=r"list_patition_label\.txt exists, but the images .*aligned\.zip"):
            read_rafdb(tree)

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            (
                "train_00003.jpg 3",
                "train_00003.jpg",
                r"list_patition_label\.txt, line 3: expected an image name and a label",
            ),
            ("train_00003.jpg 3", "train_00003.jpg 3 4", "line 3: expected an image name and a label"),
            ("train_00003.jpg 3", "train_00003.jpg three", "line 3: expected a label from 1 to 7, but got 'three'"),
            ("train_00003.jpg 3", "train_00003.jpg 8", r"line 3: the label 8 is out of range.*1 surprise.*7 neutral"),
            ("train_00003.jpg 3", "train_00003.jpg 0", "line 3: the label 0 is out of range"),
            ("train_00003.jpg", "train_00001.jpg", r"lists a file twice: train_00001\.jpg on lines 1 and 3"),
            ("train_00003.jpg", "../../train_00003.jpg", "line 3: .* points outside the dataset's folder"),
            ("train_00003.jpg", "/etc/passwd", "points outside the dataset's folder"),
            ("train_00003.jpg", "C:\\train_00003.jpg", "points outside the dataset's folder"),
            ("train_00003.jpg", "image_3.jpg", "line 3: expected an image name that starts with train_ or test_"),
            ("train_00003.jpg", "train_99999.jpg", r"1 of the 28 images .* Image/aligned/train_99999_aligned\.jpg"),
        ],
    )
    def test_invalid_lists_name_file_and_line(self, tree: Path, old: str, new: str, message: str) -> None:
        edit(tree, old, new)
        with pytest.raises(UserError, match=message):
            read_rafdb(tree)

    def test_empty_list(self, tree: Path) -> None:
        (tree / LIST).write_text("\n")
        with pytest.raises(UserError, match="is empty"):
            read_rafdb(tree)

    def test_missing_images_are_counted(self, tree: Path) -> None:
        for path in sorted((tree / "Image" / "aligned").glob("train_*"))[:7]:
            path.unlink()
        with pytest.raises(UserError, match=r"7 of the 28 images .*train_00001_aligned\.jpg, .* and 2 more"):
            read_rafdb(tree)

    def test_all_images_missing(self, tree: Path) -> None:
        for path in (tree / "Image" / "aligned").iterdir():
            path.unlink()
        with pytest.raises(UserError, match="42 of the 42 images"):
            read_rafdb(tree)

    def test_one_face_in_two_class_folders(self, tmp_path: Path) -> None:
        root = write_rafdb(tmp_path, "classes")
        source = root / "train" / "1" / "train_00001_aligned.jpg"
        (root / "train" / "4" / source.name).write_bytes(source.read_bytes())
        with pytest.raises(
            UserError, match=r"train_00001_aligned\.jpg is in two class folders, train/1/.* and train/4/"
        ):
            read_rafdb(root)

    def test_test_face_among_the_training_faces(self, tmp_path: Path) -> None:
        root = write_rafdb(tmp_path, "classes")
        (root / "valid" / "1" / "test_0001_aligned.jpg").rename(root / "train" / "1" / "test_0001_aligned.jpg")
        with pytest.raises(UserError, match="by its name it is one of RAF-DB's test images"):
            read_rafdb(root)

    def test_two_folders_that_could_be_the_test_partition(self, tmp_path: Path) -> None:
        root = write_rafdb(tmp_path, "classes")
        (root / "test" / "1").mkdir(parents=True)
        with pytest.raises(UserError, match="contains test and valid, and either could be the test images"):
            read_rafdb(root)

    def test_two_folders_of_one_class(self, tmp_path: Path) -> None:
        root = write_rafdb(tmp_path, "classes")
        (root / "train" / "happy").mkdir()
        with pytest.raises(UserError, match="train/4 and train/happy both mean happiness"):
            read_rafdb(root)

    @pytest.mark.parametrize("content", ["1 2 3\n", "1 2\n" * 5 + "0\n3\n0\n", "1 2\n" * 5 + "0\n0\nx\n"])
    def test_invalid_annotations_name_their_file(self, tmp_path: Path, content: str) -> None:
        root = write_rafdb(tmp_path, annotated=True)
        (root / "Annotation" / "manual" / "train_00002_manu_attri.txt").write_text(content)
        with pytest.raises(UserError, match=r"train_00002_manu_attri\.txt: expected five landmarks"):
            read_rafdb(root)

    def test_unreadable_folder(self, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        real = os.scandir

        def scandir(path):
            if str(path).endswith("aligned"):
                raise PermissionError(13, "Permission denied", str(path))
            return real(path)

        monkeypatch.setattr(os, "scandir", scandir)
        with pytest.raises(UserError, match=r"Cannot read .*aligned: Permission denied"):
            read_rafdb(tree)
