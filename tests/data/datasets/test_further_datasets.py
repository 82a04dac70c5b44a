"""ExpW, CAER-S, SFEW, RAF-DB compound, CK+ and JAFFE: reading every layout, and errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data.further_trees import (
    write_alignment,
    write_caers,
    write_ckplus,
    write_expw,
    write_jaffe,
    write_rafdb_compound,
    write_sfew,
)
from data.layout_trees import write_rafdb

import mfer_lightning.data as public
from mfer_lightning.data.datasets import (
    CAERSDataModule,
    CKPlusDataModule,
    ExpWDataModule,
    FaceDataModule,
    JAFFEDataModule,
    RAFDBCompoundDataModule,
    RAFDBDataModule,
    SFEWDataModule,
)
from mfer_lightning.errors import UserError


def opened(kind: type[FaceDataModule], root: Path, **options: Any) -> FaceDataModule:
    datamodule = kind(root, size=16, batch_size=4, augment="none", cache="none", **options)
    datamodule.setup("predict")
    return datamodule


def groups(datamodule: FaceDataModule) -> list[set[int]]:
    assert datamodule.index.group is not None
    return [set(datamodule.index.group[datamodule.splits[s].rows].tolist()) for s in ("train", "val", "test")]


def test_datamodules_are_public_names() -> None:
    assert public.ExpWDataModule is ExpWDataModule
    with pytest.raises(AttributeError):
        public.NoDataModule  # noqa: B018


class TestExpW:
    def test_boxes_labels_and_split_by_photo(self, tmp_path: Path) -> None:
        datamodule = opened(ExpWDataModule, write_expw(tmp_path))
        index = datamodule.index
        assert index.path[:2].tolist() == ["image/origin/angry_actor_0.jpg"] * 2
        assert index.box is not None
        assert index.box[:2].tolist() == [[4, 6, 20, 24], [24, 6, 20, 24]]  # left, top, width, height
        assert index.label[:3].tolist() == [0, 1, 2]
        assert index.attributes["confidence"].dtype == np.float32
        assert [len(datamodule.splits[s]) for s in ("train", "val", "test")] == [98, 14, 28]
        train, val, test = groups(datamodule)
        assert not train & val
        assert not train & test
        assert not val & test
        image = next(iter(datamodule.test_dataloader()))["image"]
        assert image.shape == (4, 3, 16, 16)
        assert datamodule.protocol.describe("test") == "seeded stratified 20% of train"

    def test_duplicate_rows_count_once_and_conflicting_labels_are_rejected(self, tmp_path: Path) -> None:
        root = write_expw(tmp_path)
        path = root / "label" / "label.lst"
        first = path.read_text().splitlines()[0]
        path.write_text(path.read_text() + first + "\n")
        datamodule = opened(ExpWDataModule, root)
        assert len(datamodule.index) == 140
        assert "1 row of label.lst repeats an earlier row and was left out" in datamodule.notes
        path.write_text(path.read_text() + first[:-1] + "3\n")
        with pytest.raises(UserError, match="gives a face two labels"):
            opened(ExpWDataModule, root)

    @pytest.mark.parametrize(
        ("old", "new", "words"),
        [
            (" 0 6 4 24 30 20.0000 0", " 0 6 4 24 30 20.0000 7", "line 1: expected a label from 0 to 6"),
            (" 0 6 4 24 30 20.0000 0", " 0 6 24 4 30 20.0000 0", "line 1: expected a face box with a positive size"),
            (" 0 6 4 24 30 20.0000 0", " 0 6 4 24 30 sure 0", "line 1: expected the detector's confidence"),
            ("angry_actor_0.jpg 0", "../angry_actor_0.jpg 0", "outside the dataset's folder"),
            ("angry_actor_0.jpg 0", "nobody.jpg 0", "1 of the 140 images"),
        ],
    )
    def test_invalid_lists_name_the_line(self, tmp_path: Path, old: str, new: str, words: str) -> None:
        path = write_expw(tmp_path) / "label" / "label.lst"
        path.write_text(path.read_text().replace(old, new, 1))
        with pytest.raises(UserError, match=words):
            opened(ExpWDataModule, tmp_path)

    def test_missing_list_or_photos_are_reported(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"ExpW was not found.*does not exist"):
            opened(ExpWDataModule, tmp_path / "nowhere")
        (write_expw(tmp_path) / "image").rename(tmp_path / "pictures")
        with pytest.raises(UserError, match="exists, but the photos do not"):
            opened(ExpWDataModule, tmp_path)


class TestCAERS:
    @pytest.mark.parametrize(("layout", "name"), [("boxes", "frames with a table"), ("aligned", "faces found by")])
    def test_layouts(self, tmp_path: Path, layout: str, name: str) -> None:
        datamodule = opened(CAERSDataModule, write_caers(tmp_path, layout))
        assert datamodule.index.layout.startswith(name)
        assert [len(datamodule.splits[s]) for s in ("train", "val", "test")] == [63, 7, 14]
        assert datamodule.class_names[3:5] == ("happiness", "neutral")
        assert np.bincount(datamodule.index.label).tolist() == [12] * 7
        assert (datamodule.index.box is None) == (layout == "aligned")
        assert (datamodule.alignment is None) == (layout == "boxes")

    def test_aligned_folder_and_named_table_can_be_given(self, tmp_path: Path) -> None:
        root = write_caers(tmp_path, "aligned")
        assert len(opened(CAERSDataModule, root / "aligned").index) == 84
        root = write_caers(tmp_path / "b")
        (root / "train.txt").rename(root / "mine.csv")
        (root / "test.txt").unlink()
        assert len(opened(CAERSDataModule, root, boxes="mine.csv").index) == 70
        with pytest.raises(UserError, match=r"dataset.boxes=other.csv: there is no file"):
            opened(CAERSDataModule, root, boxes="other.csv")

    def test_frames_without_boxes_suggest_both_solutions(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=rf"mfer align source={tmp_path} output=.*aligned; or .* dataset\.boxes="):
            opened(CAERSDataModule, write_caers(tmp_path, "frames"))

    def test_table_contradicting_the_folders_is_rejected(self, tmp_path: Path) -> None:
        path = write_caers(tmp_path) / "test.txt"
        path.write_text(path.read_text().replace("0003.png,3", "0003.png,4"))
        with pytest.raises(
            UserError, match=r"Happy/0003.png has the class 4 \(neutral\), but is in the folder of another class"
        ):
            opened(CAERSDataModule, tmp_path)


class TestSFEW:
    @pytest.mark.parametrize("layout", ["published", "flat", "align"])
    def test_layouts_and_clips(self, tmp_path: Path, layout: str) -> None:
        datamodule = opened(SFEWDataModule, write_sfew(tmp_path, layout))
        assert np.bincount(datamodule.index.label).tolist() == [12] * 7
        assert len(datamodule.splits.test) == 14
        assert datamodule.protocol.describe("test") == "all of val"
        train, val, test = groups(datamodule)
        assert not train & val
        assert len(train | val | test) == 42  # two frames a clip

    def test_frames_without_faces_suggest_both_solutions(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"mfer align source=.*; or unpack the published faces"):
            opened(SFEWDataModule, write_sfew(tmp_path, "frames"))


class TestRAFDBCompound:
    @pytest.mark.parametrize("folder", ["compound", "."])
    def test_layout(self, tmp_path: Path, folder: str) -> None:
        datamodule = opened(RAFDBCompoundDataModule, write_rafdb_compound(tmp_path, folder=folder))
        assert datamodule.num_classes == 11
        assert datamodule.class_names[0] == "happily_surprised"
        assert datamodule.class_names[10] == "disgustedly_surprised"
        assert [len(datamodule.splits[s]) for s in ("train", "val", "test")] == [99, 11, 22]

    def test_basic_and_compound_parts_are_not_interchangeable(self, tmp_path: Path) -> None:
        root = write_rafdb(tmp_path / "basic", train=60)
        with pytest.raises(UserError, match=r"no label above 7.*dataset=rafdb"):
            opened(RAFDBCompoundDataModule, root)
        with pytest.raises(UserError, match=r"the label 8 is out of range. RAF-DB's labels"):
            opened(RAFDBDataModule, write_rafdb_compound(tmp_path / "compound", folder="."))

    def test_file_names_of_the_basic_part_are_accepted(self, tmp_path: Path) -> None:
        root = write_rafdb_compound(tmp_path, train=22, test=0)
        faces = root / "compound" / "Image" / "aligned"
        for path in list(faces.iterdir()):
            path.rename(path.with_name(path.name.replace("train_0", "train_00")))
        path = root / "compound" / "EmoLabel" / "list_patition_label.txt"
        path.write_text(path.read_text().replace("train_0", "train_00"))
        assert len(opened(RAFDBCompoundDataModule, root).index) == 22


class TestCKPlus:
    def test_last_three_images_of_labelled_sequences_are_used(self, tmp_path: Path) -> None:
        datamodule = opened(CKPlusDataModule, write_ckplus(tmp_path))
        index = datamodule.index
        assert len(index) == 12 * 7 * 3
        assert index.path[:3].tolist() == [f"cohn-kanade-images/S005/001/S005_001_0000000{k}.png" for k in (3, 4, 5)]
        assert datamodule.class_names == (
            "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise",
        )  # fmt: skip
        assert index.attributes["subject"][0] == "S005"
        assert any("mfer align source=cohn-kanade-images output=aligned" in note for note in datamodule.notes)

    def test_first_image_is_neutral_if_the_protocol_requires_it(self, tmp_path: Path) -> None:
        datamodule = opened(CKPlusDataModule, write_ckplus(tmp_path), protocol="loso-neutral", fold=1)
        assert datamodule.class_names[0] == "neutral"
        assert np.bincount(datamodule.index.label).tolist() == [84, *[36] * 7]
        assert {p[-12:] for p in datamodule.index.path[datamodule.index.label == 0].tolist()} == {"00000001.png"}
        assert datamodule.index.attributes["subject"][datamodule.splits.test.rows].tolist() == ["S010"] * 28

    def test_folds_share_no_subjects(self, tmp_path: Path) -> None:
        root = write_ckplus(tmp_path, sequences=2)
        tested: list[str] = []
        for fold in range(10):
            datamodule = opened(CKPlusDataModule, root, fold=fold)
            train, val, test = groups(datamodule)
            assert not train & val
            assert not train & test
            assert not val & test
            tested += set(datamodule.index.attributes["subject"][datamodule.splits.test.rows].tolist())
        assert sorted(tested) == [f"S{5 * (i + 1):03d}" for i in range(12)]

    def test_aligned_images_take_precedence(self, tmp_path: Path) -> None:
        root = write_ckplus(tmp_path, subjects=10, sequences=1)
        write_ckplus(tmp_path, subjects=10, sequences=1, pictures="aligned", unlabelled=False)
        write_alignment(root / "aligned")
        datamodule = opened(CKPlusDataModule, root)
        assert datamodule.index.layout == "aligned sequences with Emotion"
        assert datamodule.alignment is not None

    @pytest.mark.parametrize("text", ["8.0", "0.0", "2.5", "sad"])
    def test_invalid_emotion_is_rejected(self, tmp_path: Path, text: str) -> None:
        root = write_ckplus(tmp_path, subjects=3, sequences=1)
        (root / "Emotion" / "S010" / "001" / "S010_001_00000005_emotion.txt").write_text(text)
        with pytest.raises(UserError, match=r"S010_001_00000005_emotion.txt: expected the number of an emotion"):
            opened(CKPlusDataModule, root, protocol="loso")

    def test_too_few_images_or_subjects_are_rejected(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="contains 2 pictures, but a labelled sequence needs 3"):
            opened(CKPlusDataModule, write_ckplus(tmp_path / "a", subjects=3, sequences=1, frames=2))
        with pytest.raises(UserError, match=r"ckplus@kfold10 needs at least 10 subjects"):
            opened(CKPlusDataModule, write_ckplus(tmp_path / "b", subjects=3, sequences=1))


class TestJAFFE:
    def test_file_names_encode_person_and_expression(self, tmp_path: Path) -> None:
        datamodule = opened(JAFFEDataModule, write_jaffe(tmp_path), fold=9)
        assert datamodule.protocol.name == "jaffe@loso"
        assert datamodule.index.path[0] == "KA.AN1.1.tiff"
        assert np.bincount(datamodule.index.label).tolist() == [20] * 7
        assert set(datamodule.index.attributes["subject"][datamodule.splits.test.rows].tolist()) == {"YM"}
        assert next(iter(datamodule.test_dataloader()))["image"].shape == (4, 3, 16, 16)

    @pytest.mark.parametrize("place", ["jaffe", "aligned"])
    def test_alternative_locations_are_found(self, tmp_path: Path, place: str) -> None:
        write_jaffe(tmp_path / place, takes=1, end="_aligned.png" if place == "aligned" else ".tiff")
        assert len(opened(JAFFEDataModule, tmp_path).index) == 70

    def test_both_protocols_give_the_same_splits(self, tmp_path: Path) -> None:
        root = write_jaffe(tmp_path, takes=1)
        splits = [opened(JAFFEDataModule, root, protocol=p, fold=4).splits for p in ("loso", "kfold10")]
        assert splits[0].fingerprint() == splits[1].fingerprint()


def test_fold_is_in_the_datamodule_description(tmp_path: Path) -> None:
    datamodule = opened(JAFFEDataModule, write_jaffe(tmp_path / "j", takes=1), fold=2)
    described = datamodule.describe()
    assert described is not None
    assert (described["fold"], described["protocol"]) == (2, "loso")
    assert "fold" not in (opened(RAFDBDataModule, write_rafdb(tmp_path / "r")).describe() or {})
    with pytest.raises(UserError, match=r"dataset.fold=1: rafdb@holdout has no folds"):
        RAFDBDataModule(tmp_path, fold=1)
