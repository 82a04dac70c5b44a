"""The class-order check: swaps are named, and weak models are not reported."""

from __future__ import annotations

import numpy as np
import pytest
from class_orders import CLASS_ORDERS

from mfer_lightning.evaluation.class_order import doubt_class_order

NAMES = CLASS_ORDERS["ferplus"]


def confusion(
    recall: float, faces: np.ndarray | int, rng: np.random.Generator, concentration: float = 1.0
) -> np.ndarray:
    """Draw the confusion matrix of a model with a given accuracy and random kinds of errors."""
    k = len(NAMES)
    faces = np.broadcast_to(faces, k)
    rows = []
    for i in range(k):
        p = np.insert(rng.dirichlet(np.full(k - 1, concentration)), i, 0) * (1 - recall)
        p[i] = recall
        rows.append(rng.multinomial(faces[i], p))
    return np.stack(rows)


@pytest.mark.parametrize("recall", [0.6, 0.75, 0.95])
def test_every_swap_of_two_classes_is_named(recall: float) -> None:
    rng = np.random.default_rng(0)
    for first in range(8):
        for second in range(first + 1, 8):
            matrix = confusion(recall, 80, rng)
            order = np.arange(8)
            order[[first, second]] = order[[second, first]]
            found = doubt_class_order(matrix[:, order], NAMES)
            assert found is not None
            assert found.called == {NAMES[first]: NAMES[second], NAMES[second]: NAMES[first]}
            assert f"names of {NAMES[first]} and {NAMES[second]} seem to be swapped" in found.message
            assert found.accuracy_if == pytest.approx(np.trace(matrix) / matrix.sum())
            assert found.accuracy == pytest.approx(np.trace(matrix[:, order]) / matrix.sum())


def test_complete_permutation_is_named() -> None:
    rng = np.random.default_rng(1)
    matrix, order = confusion(0.8, 100, rng), np.array([1, 2, 3, 0, 5, 4, 6, 7])  # a cycle of four and a swap
    found = doubt_class_order(matrix[:, order], NAMES)
    assert found is not None
    assert found.called == {NAMES[order[j]]: NAMES[j] for j in range(6)}
    assert "the order of the classes" in found.message


def test_weak_models_with_correct_order_give_no_warning() -> None:
    """Models of all qualities, with few and many faces, with errors spread evenly or concentrated in one class."""
    rng = np.random.default_rng(2)
    for _ in range(2_000):
        recall = rng.uniform(0.3, 1.0)
        faces = rng.integers(0, 80, 8)
        matrix = confusion(recall, faces, rng, concentration=rng.choice([0.1, 1.0, 10.0]))
        assert doubt_class_order(matrix, NAMES) is None, matrix


def test_random_models_give_no_warning() -> None:
    rng = np.random.default_rng(3)
    for _ in range(2_000):
        prior = rng.dirichlet(np.full(8, rng.choice([0.1, 1.0])))  # the same for every true class
        matrix = np.stack([rng.multinomial(n, prior) for n in rng.integers(0, 300, 8)])
        assert doubt_class_order(matrix, NAMES) is None, matrix


@pytest.mark.parametrize(
    "matrix",
    [
        [[60, 0, 0], [55, 5, 0], [0, 0, 60]],  # happiness is predicted as neutral, but not the reverse
        [[0, 0, 60], [0, 0, 60], [0, 0, 60]],  # everything is predicted as one class
        [[0, 4, 0], [4, 0, 0], [0, 0, 4]],  # too few faces
        [[20, 25, 15], [25, 20, 15], [0, 0, 60]],  # two classes that are hard to distinguish
        [[0, 0, 0], [0, 0, 0], [0, 0, 0]],
        [[0, 9, 0], [0, 0, 0], [0, 0, 9]],  # a class that does not occur
    ],
)
def test_other_explanations_give_no_warning(matrix: list[list[int]]) -> None:
    assert doubt_class_order(matrix, NAMES[:3]) is None


def test_invalid_arguments_raise_value_error() -> None:
    with pytest.raises(ValueError, match="confusion"):
        doubt_class_order([[1, 2]], NAMES[:2])
    with pytest.raises(ValueError, match="0 or more"):
        doubt_class_order([[1, -2], [0, 0]], NAMES[:2])
