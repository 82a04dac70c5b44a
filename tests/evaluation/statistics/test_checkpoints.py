"""Two checkpoints on the same images: McNemar's p-values against binomial sums, and tables that do not match."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.statistics import compare_checkpoints, correct_matrix, same_images
from mfer_lightning.evaluation.statistics.checkpoints import mcnemar

NAMES = ("anger", "fear", "happiness")


def table(
    right: list[bool] | np.ndarray, label: np.ndarray | None = None, names: tuple[str, ...] = NAMES
) -> Predictions:
    n = len(right)
    label = np.arange(n) % 3 if label is None else label
    pred = np.where(right, label, (label + 1) % 3)
    return Predictions(np.arange(n), [f"{i}.png" for i in range(n)], label, np.eye(3)[pred], names)


@pytest.mark.parametrize(("a", "b"), [(0, 6), (3, 9), (20, 35), (100, 100), (7, 8), (0, 0), (1, 0)])
def test_p_values_match_binomial_sums(a: int, b: int) -> None:
    exact, mid = mcnemar(a, b)
    n, outcomes = a + b, np.arange(a + b + 1)
    p = stats.binom.pmf(outcomes, n, 0.5)
    far = np.abs(outcomes - n / 2)
    beyond, same = p[far > abs(a - n / 2) + 1e-9].sum(), p[np.abs(far - abs(a - n / 2)) < 1e-9].sum()
    assert exact == pytest.approx(min(1, beyond + same), abs=1e-12)
    assert exact == pytest.approx(stats.binomtest(a, n).pvalue if n else 1.0, abs=1e-12)
    expected = 1 - p[n // 2] / 2 if a == b and n else beyond + same / 2  # in the middle the outcome is in both tails
    assert mid == pytest.approx(expected if n else 1.0, abs=1e-12)


def test_counts_difference_and_verdict() -> None:
    a, b = np.ones(90, dtype=bool), np.ones(90, dtype=bool)
    a[:4], b[10:30] = False, False
    found = compare_checkpoints(table(a), table(b))
    assert (found.n, found.only_a, found.only_b, found.verdict) == (90, 20, 4, "better")
    assert found.difference == pytest.approx(16 / 90)
    assert found.low < 16 / 90 < found.high
    assert found.p_mid < found.p_exact < 0.05
    turned = compare_checkpoints(table(b), table(a))
    assert (turned.verdict, turned.difference, turned.p_exact) == ("worse", -found.difference, found.p_exact)
    same = compare_checkpoints(table(a), table(a))
    assert (same.verdict, same.low, same.high, same.p_exact) == ("tie", 0, 0, 1)


def test_images_are_matched_by_path_in_any_order() -> None:
    rng = np.random.default_rng(0)
    right = rng.random(60) < 0.7
    a, b = table(right), table(~right)
    shuffled = b.select(rng.permutation(60))
    assert compare_checkpoints(a, shuffled) == compare_checkpoints(a, b)
    correct, labels = correct_matrix([a, shuffled])
    order = np.argsort(a.path)
    np.testing.assert_array_equal(correct, np.stack([right[order], ~right[order]]))
    np.testing.assert_array_equal(labels, a.label[order])


def test_repeated_paths_are_matched_by_index() -> None:
    a = Predictions([0, 1], ["a.png", "a.png"], [0, 1], np.eye(3)[[0, 1]], NAMES)  # two faces of one photo
    assert same_images([a, a.select(np.array([1, 0]))])[1].index.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (table(np.ones(31, dtype=bool)), "differ in 1"),
        (table(np.ones(30, dtype=bool), label=np.zeros(30, dtype=int)), "agree in labels"),
        (table(np.ones(30, dtype=bool), names=("anger", "happiness", "fear")), "agree in class_names"),
    ],
)
def test_different_images_labels_or_classes_are_rejected(other: Predictions, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        compare_checkpoints(table(np.ones(30, dtype=bool)), other)


def test_missing_tables_or_labels_are_rejected() -> None:
    with pytest.raises(ValueError, match="at least one table"):
        same_images([])
    with pytest.raises(ValueError, match="the first table has none"):
        same_images([Predictions([0], [""], [-1], [[1, 0, 0]], NAMES)])


@pytest.mark.slow
def test_checkpoint_test_has_at_most_5_5_percent_false_positives() -> None:
    """Computed exactly for 160 images, with probabilities of 0.01 to 0.99 that exactly one checkpoint is correct."""
    images = 160
    sizes = np.zeros((images + 1, 2))
    for n in range(1, images + 1):
        chances = stats.binom.pmf(np.arange(n + 1), n, 0.5)
        called = np.array([mcnemar(a, n - a) for a in range(n + 1)]) < 0.05
        sizes[n] = chances @ called
    rates = np.linspace(0.01, 0.99, 99)
    errors = np.stack([stats.binom.pmf(np.arange(images + 1), images, rate) @ sizes for rate in rates])
    print(f"at most {100 * errors[:, 0].max():.2f}% (exact), {100 * errors[:, 1].max():.2f}% (mid-p)")
    assert errors[:, 0].max() <= 0.05
    assert 0.04 < errors[:, 1].max() <= 0.055
