from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from data.layout_trees import (
    CSV_HEADER,
    LANDMARKS,
    write_affectnet_csv,
    write_affectnet_npy,
    write_class_folders,
    write_rafdb,
)

from mfer_lightning.data.datasets.affectnet import CLASS_FOLDERS, CSV, NPY, read_affectnet
from mfer_lightning.data.datasets.registry import get_protocol
from mfer_lightning.data.splits import make_splits
from mfer_lightning.emotions import EMOTIONS
from mfer_lightning.errors import UserError

SMALL = {"train": 16, "val": 8}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


class TestCsvRelease:
    @pytest.fixture
    def tree(self, tmp_path: Path) -> Path:
        return write_affectnet_csv(tmp_path / "affectnet", **SMALL)

    def test_faces_have_box_photo_and_affect(self, tree: Path) -> None:
        index = read_affectnet(tree)
        assert (index.dataset, index.layout, index.class_names) == ("affectnet8", CSV.name, EMOTIONS)
        assert index.partition.tolist() == ["train"] * 16 + ["val"] * 8
        assert index.label.tolist() == [i % 8 for i in range(16)] + list(range(8))
        assert index.path[1] == "Manually_Annotated_Images/1/01000001.jpg"
        assert index.box is not None
        assert (index.box == [10, 8, 20, 16]).all()
        np.testing.assert_allclose(index.attributes["valence"][:3], [0.0, 0.01, 0.02])
        assert (index.attributes["arousal"] == -0.5).all()

    def test_faces_without_emotion_or_box_are_dropped(self, tree: Path) -> None:
        assert len((tree / "training.csv").read_text().splitlines()) == 1 + 16 + 4
        assert (read_affectnet(tree).partition == "train").sum() == 16

    def test_seven_classes_exclude_contempt(self, tree: Path) -> None:
        eight, seven = read_affectnet(tree, 8), read_affectnet(tree, 7)
        assert (seven.dataset, seven.class_names) == ("affectnet7", EMOTIONS[:7])
        assert seven.path.tolist() == eight.path[eight.label < 7].tolist()
        assert seven.label.tolist() == eight.label[eight.label < 7].tolist()
        assert len(seven.box) == len(seven.group) == len(seven.attributes["valence"]) == len(seven) == 21

    @pytest.mark.parametrize(
        "options", [{"lists": "Manually_Annotated_file_lists"}, {"header": False}, {"extra": False}]
    )
    def test_variants_have_identical_fingerprints(self, tree: Path, tmp_path: Path, options: dict) -> None:
        other = write_affectnet_csv(tmp_path / "other", **SMALL, **options)
        assert read_affectnet(other).fingerprint() == read_affectnet(tree).fingerprint()

    def test_photos_may_be_one_folder_deeper(self, tree: Path) -> None:
        (tree / "Manually_Annotated").mkdir()
        (tree / "Manually_Annotated_Images").rename(tree / "Manually_Annotated" / "Manually_Annotated_Images")
        assert read_affectnet(tree).path[0].startswith("Manually_Annotated/Manually_Annotated_Images/1/")

    def test_columns_are_found_by_name(self, tree: Path) -> None:
        path = tree / "validation.csv"
        rows = [line.split(",") for line in path.read_text().splitlines()]
        path.write_text("\n".join(",".join([row[6], *row[:5]]) for row in rows))
        index = read_affectnet(tree)
        assert index.label[16:].tolist() == list(range(8))
        assert dict(index.attributes) == {}  # a column missing for some faces is not used

    def test_faces_of_one_photo_stay_in_one_split(self, tmp_path: Path) -> None:
        tree = write_affectnet_csv(tmp_path, train=400, val=8)
        rows = (tree / "training.csv").read_text().splitlines()
        twins = [row.replace(",10,8,20,16,", ",30,8,20,16,") for row in rows[1:401]]  # a second face in each photo
        (tree / "training.csv").write_text("\n".join(rows + twins) + "\n")
        index = read_affectnet(tree)
        assert index.group is not None
        assert (index.group[:400] == index.group[400:800]).all()
        assert len(np.unique(index.group)) == 408
        splits = make_splits(index, get_protocol("affectnet8"))
        assert 12 <= len(splits.val) <= 20  # 2% of 800
        assert not set(index.path[splits.val.rows].tolist()) & set(index.path[splits.train.rows].tolist())

    @pytest.mark.parametrize("absent", ["training.csv", "validation.csv"])
    def test_either_part_may_be_missing(self, tree: Path, absent: str) -> None:
        (tree / absent).unlink()
        assert set(read_affectnet(tree).partition.tolist()) == {"val" if absent.startswith("train") else "train"}

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            (
                "face_width",
                "width",
                r"training\.csv, line 1: expected AffectNet's columns \(missing: face_width\), but got",
            ),
            (f"{LANDMARKS},2,0.02,-0.5", f"{LANDMARKS},2", "expected 9 fields, but got '7 fields'"),
            (
                f"{LANDMARKS},2,",
                f"{LANDMARKS},sad,",
                r"training\.csv, line 4: expected an expression from 0 to 10, but got 'sad'",
            ),
            (f"{LANDMARKS},2,", f"{LANDMARKS},11,", "line 4: the expression 11 is out of range"),
            (f"{LANDMARKS},2,", f"{LANDMARKS},-1,", "line 4: expected an expression from 0 to 10"),
            ("01000002.jpg,10,8,20,16", "01000002.jpg,10,8,wide,16", "line 4: expected a face box in pixels"),
            ("01000002.jpg,10,8,20,16", "01000002.jpg,10,8,20,0", "line 4: expected a face box with a positive size"),
            (",0.02,-0.5", ",much,-0.5", "line 4: expected valence and arousal as numbers"),
            ("1/01000002.jpg", "1/01000001.jpg", r"lists a face twice: 1/01000001\.jpg .* on lines 3 and 4"),
            ("1/01000002.jpg", "../../01000002.jpg", "points outside the dataset's folder"),
            ("1/01000002.jpg", "/etc/passwd", "points outside the dataset's folder"),
            ("1/01000002.jpg", "1/ffff.jpg", r"1 of the 16 images .* Manually_Annotated_Images/1/ffff\.jpg"),
        ],
    )
    def test_invalid_lists_name_file_and_line(self, tree: Path, old: str, new: str, message: str) -> None:
        edit(tree / "training.csv", old, new)
        with pytest.raises(UserError, match=message):
            read_affectnet(tree)

    def test_lists_without_photos_are_rejected(self, tree: Path) -> None:
        (tree / "Manually_Annotated_Images").rename(tree / "photos")
        with pytest.raises(UserError, match=r"training\.csv exists, but the photos do not.*Manually_Annotated_Images"):
            read_affectnet(tree)

    def test_empty_list_is_rejected(self, tree: Path) -> None:
        for name in ("training.csv", "validation.csv"):
            (tree / name).write_text(CSV_HEADER + "\n")
        with pytest.raises(UserError, match="contains no image with an emotion"):
            read_affectnet(tree)
        (tree / "training.csv").write_text("")
        with pytest.raises(UserError, match=r"training\.csv is empty"):
            read_affectnet(tree)


class TestNpyRelease:
    @pytest.fixture
    def tree(self, tmp_path: Path) -> Path:
        return write_affectnet_npy(tmp_path / "affectnet", **SMALL)

    def annotate(self, tree: Path, value: object) -> Path:
        path = tree / "train_set" / "annotations" / "3_exp.npy"
        np.save(path, np.array(value))
        return path

    @pytest.mark.parametrize("val_folder", ["val_set", "valid_set"])
    def test_faces_are_sorted_by_number(self, tmp_path: Path, val_folder: str) -> None:
        index = read_affectnet(write_affectnet_npy(tmp_path, **SMALL, val_folder=val_folder))
        assert index.layout == NPY.name
        assert index.path[:16].tolist() == [f"train_set/images/{i}.jpg" for i in range(16)]
        assert index.path[16] == f"{val_folder}/images/0.jpg"
        assert index.partition.tolist() == ["train"] * 16 + ["val"] * 8
        assert index.label.tolist() == [i % 8 for i in range(16)] + list(range(8))
        assert index.group is index.box is None

    def test_seven_classes_exclude_contempt(self, tree: Path) -> None:
        index = read_affectnet(tree, 7)
        assert len(index) == 21
        assert not {"train_set/images/7.jpg", "train_set/images/15.jpg", "val_set/images/7.jpg"} & set(
            index.path.tolist()
        )

    def test_codes_without_emotion_are_dropped(self, tree: Path) -> None:
        self.annotate(tree, "9")
        assert "train_set/images/3.jpg" not in read_affectnet(tree).path.tolist()

    def test_numeric_codes_are_read_identically(self, tree: Path) -> None:
        before = read_affectnet(tree).fingerprint()
        self.annotate(tree, 3)
        assert read_affectnet(tree).fingerprint() == before

    def test_validation_part_may_be_missing(self, tmp_path: Path) -> None:
        assert set(read_affectnet(write_affectnet_npy(tmp_path, 16, 0)).partition.tolist()) == {"train"}

    def test_pickles_are_never_loaded(self, tree: Path, tmp_path: Path) -> None:
        class Trap:
            def __reduce__(self):
                return (os.mkdir, (str(tmp_path / "executed"),))

        np.save(tree / "train_set" / "annotations" / "3_exp.npy", np.array(Trap(), dtype=object), allow_pickle=True)
        with pytest.raises(UserError, match=r"3_exp\.npy is not a NumPy file with one code"):
            read_affectnet(tree)
        (tree / "train_set" / "annotations" / "3_exp.npy").write_bytes(pickle.dumps(Trap()))
        with pytest.raises(UserError, match=r"3_exp\.npy is not a NumPy file with one code"):
            read_affectnet(tree)
        assert not (tmp_path / "executed").exists()

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ("11", r"3_exp\.npy: the label 11 is out of range"),
            ("-1", r"3_exp\.npy: expected one whole number, but got '-1'"),
            (["1", "2"], r"3_exp\.npy: expected one whole number"),
            (0.5, r"3_exp\.npy: expected one whole number"),
        ],
    )
    def test_invalid_annotations_name_their_file(self, tree: Path, value: object, message: str) -> None:
        self.annotate(tree, value)
        with pytest.raises(UserError, match=message):
            read_affectnet(tree)

    @pytest.mark.parametrize("keep", [0, 20, 100])
    def test_truncated_annotations_are_rejected(self, tree: Path, keep: int) -> None:
        path = self.annotate(tree, "3")
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(UserError, match=r"3_exp\.npy is not a NumPy file .* truncated"):
            read_affectnet(tree)

    def test_images_without_annotations_are_counted(self, tree: Path) -> None:
        for i in (2, 3, 10):
            (tree / "train_set" / "annotations" / f"{i}_exp.npy").unlink()
        with pytest.raises(
            UserError, match=r"3 of the 16 images in .*train_set/images have no annotation .*: 2, 3, 10\."
        ):
            read_affectnet(tree)

    def test_annotations_without_images_are_counted(self, tree: Path) -> None:
        (tree / "val_set" / "images" / "4.jpg").unlink()
        with pytest.raises(UserError, match=r"1 of the 8 images .* val_set/images/4\.jpg"):
            read_affectnet(tree)

    def test_missing_annotations_are_rejected(self, tree: Path) -> None:
        (tree / "val_set" / "annotations").rename(tree / "val_set" / "elsewhere")
        with pytest.raises(
            UserError, match=r"val_set/annotations contains no annotations \(files such as 0_exp\.npy\)"
        ):
            read_affectnet(tree)

    def test_two_validation_folders_are_rejected(self, tree: Path) -> None:
        (tree / "valid_set").mkdir()
        with pytest.raises(UserError, match="contains val_set and valid_set"):
            read_affectnet(tree)


class TestClassFolders:
    @pytest.mark.parametrize(
        "classes",
        [[str(i) for i in range(8)], ["neutral", "Happy", "sad", "Surprise", "fear", "disgust", "Anger", "contempt"]],
    )
    def test_folders_by_number_or_name(self, tmp_path: Path, classes: list[str]) -> None:
        index = read_affectnet(write_class_folders(tmp_path, SMALL, classes))
        assert index.layout == CLASS_FOLDERS.name
        assert index.partition.tolist() == ["train"] * 16 + ["val"] * 8
        for path, label in zip(index.path.tolist(), index.label.tolist(), strict=True):
            assert path.split("/")[1] == classes[label]

    def test_folder_called_test_is_read_as_validation(self, tmp_path: Path) -> None:
        assert set(read_affectnet(write_class_folders(tmp_path, {"Train": 8, "Test": 8})).partition) == {"train", "val"}

    def test_test_and_val_together_are_ambiguous(self, tmp_path: Path) -> None:
        write_class_folders(tmp_path, {"train": 8, "val": 8, "test": 8})
        with pytest.raises(UserError, match=r"contains test and val, .* never published\. .*dataset=folder"):
            read_affectnet(tmp_path)

    def test_contempt_and_unknown_emotion_folders_are_dropped(self, tmp_path: Path) -> None:
        root = write_class_folders(tmp_path, {"train": 20}, [str(i) for i in range(10)])
        assert len(read_affectnet(root, 8)) == 16
        assert len(read_affectnet(root, 7)) == 14

    def test_numbers_starting_at_one_are_rejected(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"without 0\..*dataset=rafdb"):
            read_affectnet(write_rafdb(tmp_path, "classes"))

    def test_unknown_class_names_are_rejected(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="'boredom' is not a class of AffectNet"):
            read_affectnet(write_class_folders(tmp_path, {"train": 4}, ["anger", "boredom"]))


class TestErrors:
    def test_missing_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UserError) as error:
            read_affectnet(tmp_path / "nowhere")
        for part in (
            f"{tmp_path / 'nowhere'} does not exist",
            "training.csv",
            "train_set",
            "train/0",
            "on request",
            "paths.data",
        ):
            assert part in str(error.value)

    def test_another_dataset_in_the_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="looks like RAF-DB: use dataset=rafdb"):
            read_affectnet(write_rafdb(tmp_path))

    def test_invalid_number_of_classes(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="Expected argument `classes` to be 7 or 8, but got 6"):
            read_affectnet(tmp_path, 6)

    def test_unreadable_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        tree = write_affectnet_npy(tmp_path, **SMALL)
        real = os.scandir

        def scandir(path):
            if str(path).endswith("annotations"):
                raise PermissionError(13, "Permission denied", str(path))
            return real(path)

        monkeypatch.setattr(os, "scandir", scandir)
        with pytest.raises(UserError, match=r"Cannot read .*annotations: Permission denied"):
            read_affectnet(tree)
