from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mfer_lightning.data.index import FaceIndex
from mfer_lightning.data.splits import Split
from mfer_lightning.data.training_set import flip_labels, hold_out_part
from mfer_lightning.errors import UserError

NAMES = ("a", "b", "c", "d")
LABEL = np.repeat(np.arange(4), 250)
SPLIT = Split(np.arange(1000), LABEL, np.full((1000, 4), 0.25, dtype=np.float32))
PATHS = [f"{i:04d}.png" for i in range(1000)]


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.2, 0.3])
def test_noise_rate_is_exact_and_every_flip_changes_the_class(rate: float) -> None:
    noisy, manifest = flip_labels(SPLIT, PATHS, NAMES, rate, seed=0)
    changed = noisy.label != LABEL
    assert changed.sum() == round(1000 * rate) == len(manifest.flips)
    np.testing.assert_array_equal(noisy.target[~changed], SPLIT.target[~changed])
    np.testing.assert_array_equal(noisy.target[changed], np.eye(4, dtype=np.float32)[noisy.label[changed]])


def test_flips_are_uniform_over_the_other_classes() -> None:
    noisy, _ = flip_labels(SPLIT, PATHS, NAMES, 0.9, seed=0)
    changed = noisy.label != LABEL
    steps = (noisy.label - LABEL)[changed] % 4
    assert np.abs(np.bincount(steps, minlength=4)[1:] - 300).max() < 60


def test_manifest_records_every_flip_and_its_hash_is_unique(tmp_path: Path) -> None:
    noisy, manifest = flip_labels(SPLIT, PATHS, NAMES, 0.2, seed=1, protocol="x@y")
    again = flip_labels(SPLIT, PATHS, NAMES, 0.2, seed=1)[1]
    other = flip_labels(SPLIT, PATHS, NAMES, 0.2, seed=2)[1]
    assert manifest.hash == again.hash != other.hash
    manifest.write(tmp_path / "noise.json")
    written = json.loads((tmp_path / "noise.json").read_text())
    assert written["sha256"] == manifest.hash
    assert written["flipped"] == 200
    for flip in written["flips"]:
        i = int(flip["path"][:4])
        assert (NAMES[LABEL[i]], NAMES[noisy.label[i]]) == (flip["true"], flip["given"])


def test_flipped_faces_do_not_depend_on_row_order() -> None:
    order = np.random.default_rng(0).permutation(1000)
    shuffled = Split(order, LABEL[order], SPLIT.target)
    a = flip_labels(SPLIT, PATHS, NAMES, 0.2, seed=1)[1]
    b = flip_labels(shuffled, [PATHS[i] for i in order], NAMES, 0.2, seed=1)[1]
    assert a.hash == b.hash


def test_invalid_arguments_raise_value_error() -> None:
    with pytest.raises(ValueError, match="`rate`"):
        flip_labels(SPLIT, PATHS, NAMES, 1.0, seed=0)
    with pytest.raises(ValueError, match="`class_names`"):
        flip_labels(SPLIT, PATHS, ("a",), 0.1, seed=0)


def test_held_out_parts_partition_the_training_set() -> None:
    label = np.arange(30) % 3
    paths = np.array([f"train/{i}.png" for i in range(30)])
    index = FaceIndex(
        dataset="mine", layout="folders", root=Path("mine"), class_names=("a", "b", "c"), path=paths,
        partition=np.array(["train"] * 30), label=label, group=np.arange(30) // 2,
    )  # fmt: skip
    train = Split(np.arange(30), label, np.eye(3, dtype=np.float32)[label])
    left = [set(train.rows.tolist()) - set(hold_out_part(train, index, f"{k}/3").rows.tolist()) for k in (1, 2, 3)]
    assert set.union(*left) == set(range(30))
    assert sum(map(len, left)) == 30
    assert all({row ^ 1 for row in part} == part for part in left), "both faces of a photo"
    for wrong in ("0/3", "4/3", "1/1", "third", "1/3/2"):
        with pytest.raises(UserError, match=f"dataset.hold_out={wrong} is not a part: write 1/3"):
            hold_out_part(train, index, wrong)
    few = Split(train.rows[:2], label[:2], train.target[:2])
    with pytest.raises(UserError, match="2 training faces cannot be divided into 9 parts"):
        hold_out_part(few, index, "5/9")
