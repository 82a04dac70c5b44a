"""Holdouts contain faces of small classes, and parts are stratified; both keep groups together."""

from __future__ import annotations

import numpy as np
import pytest

from mfer_lightning.data.holdout import holdout, parts


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_small_class_contributes_one_holdout_face(count: int) -> None:
    label = np.array([0] * 100 + [1] * count)
    held = holdout(label, [f"{i}.png" for i in range(len(label))], 0.1, seed=0)
    assert held[:100].sum() == 10
    assert held[100:].sum() == 1


def test_only_face_of_a_class_stays_in_training() -> None:
    label = np.array([0] * 20 + [1])
    assert not holdout(label, [f"{i}.png" for i in range(21)], 0.1, seed=0)[20]


def test_rare_class_in_groups_contributes_one_group() -> None:
    label = np.array([0] * 60 + [1] * 6)
    group = np.concatenate([np.arange(60), [60, 60, 61, 61, 62, 62]])
    held = holdout(label, [f"{i}.png" for i in range(66)], 0.05, 0, group)
    assert held[60:].sum() == 2


def test_parts_are_stratified_and_keep_photos_together() -> None:
    rng = np.random.default_rng(0)
    label = rng.choice(4, 500, p=[0.6, 0.25, 0.1, 0.05])
    group = rng.integers(0, 300, 500)
    names = [f"{i}.png" for i in range(500)]
    part = parts(label, names, 3, 0, group)
    assert all(len(set(part[group == g])) == 1 for g in np.unique(group))
    assert np.bincount(part, minlength=3).max() - np.bincount(part).min() <= 12
    alone = parts(label, names, 3, 0)
    for k in range(4):
        counts = np.bincount(alone[label == k], minlength=3)
        assert counts.max() - counts.min() <= 1, "no groups: within one face"


def test_parts_depend_only_on_names_and_seed() -> None:
    label, names = np.arange(40) % 3, [f"train/{i}.png" for i in range(40)]
    part = parts(label, names, 4, 0)
    order = np.random.default_rng(1).permutation(40)
    shuffled = parts(label[order], [names[i].replace("train", "elsewhere") for i in order], 4, 0)
    assert (shuffled == part[order]).all()
    assert (parts(label, names, 4, 1) != part).any()
    with pytest.raises(ValueError, match="at least 2, but got 1"):
        parts(label, names, 1, 0)
