"""Lists that correct a training set: faces left out, and changed labels. Evaluation does not change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mfer_lightning.data.corrections import exclude_faces, relabel_faces
from mfer_lightning.data.index import FaceIndex
from mfer_lightning.data.splits import Split, Splits
from mfer_lightning.data.training_set import change_training_set
from mfer_lightning.errors import UserError

NAMES = ("happiness", "sadness", "anger")
PARTITION = np.array(["train"] * 6 + ["val"] * 2 + ["test"] * 2)
PATHS = np.array([f"{part}/{i}.png" for i, part in enumerate(PARTITION)])
LABEL = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0])
INDEX = FaceIndex(
    dataset="mine", layout="folders", root=Path("mine"), class_names=NAMES, path=PATHS, partition=PARTITION, label=LABEL
)


def split(*rows: int) -> Split:
    chosen = np.array(rows)
    return Split(chosen, LABEL[chosen], np.full((len(rows), 3), 1 / 3, dtype=np.float32))


TRAIN = split(0, 1, 2, 3, 4, 5)


def write(tmp_path: Path, text: str, name: str = "list.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_listed_training_faces_are_excluded_and_others_counted(tmp_path: Path) -> None:
    file = write(tmp_path, "path,twin,same\ntrain/1.png,val/6.png,looks\nval/7.png,x,looks\ntrain/99.png,x,looks\n")
    kept, notes = exclude_faces(TRAIN, INDEX, [file])
    assert kept.rows.tolist() == [0, 2, 3, 4, 5]
    np.testing.assert_array_equal(kept.target, TRAIN.target[kept.rows])
    assert notes == [
        "dataset.exclude: 1 training face of list.csv is left out "
        "(1 of its names is not a training face; 1 of its names is not a face of mine)"
    ]


def test_several_lists_are_merged_and_an_empty_one_excludes_nothing(tmp_path: Path) -> None:
    files = [
        write(tmp_path, "train/0.png\ntrain/1.png\n", "a.txt"),
        write(tmp_path, "1\n5\n", "b.txt"),
        write(tmp_path, "path,twin,same\n", "c.csv"),
        write(tmp_path, "", "d.txt"),
    ]
    kept, notes = exclude_faces(TRAIN, INDEX, files)
    assert kept.rows.tolist() == [2, 3, 4]
    assert notes[2:] == ["dataset.exclude: c.csv lists no faces", "dataset.exclude: d.txt lists no faces"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("val/6.png\n", "dataset.exclude: none of its names is a training face \\(the first of 1 name is val/6.png"),
        ("".join(f"train/{i}.png\n" for i in range(6)), "leaves no training face"),
    ],
)
def test_unusable_list_is_rejected(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        exclude_faces(TRAIN, INDEX, [write(tmp_path, text, "list.txt")])
    with pytest.raises(UserError, match="There is no list"):
        exclude_faces(TRAIN, INDEX, [tmp_path / "absent.txt"])


def test_correction_table_replaces_label_and_target(tmp_path: Path) -> None:
    file = write(tmp_path, "image,emotion\ntrain/0.png,Sad\ntrain/4.png,sadness\nval/6.png,anger\n")
    changed, notes = relabel_faces(TRAIN, INDEX, file)
    assert changed.label.tolist() == [1, 1, 2, 0, 1, 2]
    np.testing.assert_array_equal(changed.target[[0, 4]], np.eye(3, dtype=np.float32)[[1, 1]])
    np.testing.assert_array_equal(changed.target[[1, 2, 3, 5]], TRAIN.target[[1, 2, 3, 5]])
    assert TRAIN.label[0] == 0
    assert notes == ["dataset.relabel: 2 training faces have the labels of list.csv (labels changed: 1)"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\ntrain/0.png,joyous\n", r"list.csv, line 2: 'joyous' is not a class"),
        ("path,label\ntrain/0.png,anger\ntrain/0.png,sad\n", "gives train/0.png two labels"),
        ("path,label\nval/6.png,anger\nval/7.png,sad\n", "none of its names is a training face"),
        ("path,mood\ntrain/0.png,anger\n", "labels"),
    ],
)
def test_unusable_correction_table_is_rejected(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        relabel_faces(TRAIN, INDEX, write(tmp_path, text))


def test_corrections_are_applied_after_label_noise(tmp_path: Path) -> None:
    splits = Splits(TRAIN, split(6, 7), split(8, 9), "label")
    options = {"label_noise": 0.5, "label_noise_seed": 3, "train_faces": None, "seed": 0}
    noisy, manifest, _ = change_training_set(splits, INDEX, "mine@native", **options)
    assert manifest is not None
    assert len(manifest.flips) == 3
    flipped = write(tmp_path, "path\n" + "".join(f"{path}\n" for path, _, _ in manifest.flips))
    cleaned, again, _ = change_training_set(splits, INDEX, "mine@native", **options, exclude=(flipped,))
    assert again is not None
    assert again.hash == manifest.hash
    assert cleaned.train.label.tolist() == LABEL[cleaned.train.rows].tolist()
    truth = write(tmp_path, "path,label\n" + "".join(f"{path},{true}\n" for path, true, _ in manifest.flips), "t.csv")
    mended, _, _ = change_training_set(splits, INDEX, "mine@native", **options, relabel=truth)
    assert mended.train.label.tolist() == TRAIN.label.tolist()
    assert noisy.train.label.tolist() != TRAIN.label.tolist()
    assert cleaned.val is splits.val
