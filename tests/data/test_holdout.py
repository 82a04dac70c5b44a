"""Small classes keep a voice on val."""

from __future__ import annotations

import numpy as np
import pytest

from mfer_lightning.data.holdout import holdout


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_a_class_of_few_faces_gives_one_of_them(count: int) -> None:
    label = np.array([0] * 100 + [1] * count)
    held = holdout(label, [f"{i}.png" for i in range(len(label))], 0.1, seed=0)
    assert held[:100].sum() == 10
    assert held[100:].sum() == 1


def test_the_only_face_of_a_class_is_trained_on() -> None:
    label = np.array([0] * 20 + [1])
    assert not holdout(label, [f"{i}.png" for i in range(21)], 0.1, seed=0)[20]


def test_a_rare_class_in_groups_gives_one_group() -> None:
    label = np.array([0] * 60 + [1] * 6)
    group = np.concatenate([np.arange(60), [60, 60, 61, 61, 62, 62]])
    held = holdout(label, [f"{i}.png" for i in range(66)], 0.05, 0, group)
    assert held[60:].sum() == 2
