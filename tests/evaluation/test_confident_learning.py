"""Confident learning: counts against a naive reference, and detection of planted wrong labels."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mfer_lightning.evaluation.audit_measures import measure_ranking
from mfer_lightning.evaluation.confident_learning import find_label_noise


def naive(p: list[list[float]], given: list[int]) -> tuple[list[list[int]], list[list[float]], list[int]]:
    """Confident joint, calibrated joint and off-diagonal faces, in loops from the paper's definitions."""
    k = len(p[0])
    of_class = [[i for i, y in enumerate(given) if y == j] for j in range(k)]
    threshold = [sum(p[i][j] for i in of_class[j]) / len(of_class[j]) if of_class[j] else None for j in range(k)]
    joint = [[0] * k for _ in range(k)]
    off = []
    for i, y in enumerate(given):
        best = None
        for j in range(k):
            if threshold[j] is not None and p[i][j] >= threshold[j] - 1e-12 and (best is None or p[i][j] > p[i][best]):
                best = j
        if best is not None:
            joint[y][best] += 1
            if best != y:
                off.append(i)
    calibrated = [[0.0] * k for _ in range(k)]
    for a in range(k):
        row = sum(joint[a])
        for b in range(k):
            share = joint[a][b] / row if row else float(a == b)
            calibrated[a][b] = share * len(of_class[a]) / len(given)
    return joint, calibrated, off


@pytest.mark.parametrize("seed", range(8))
def test_counts_match_a_naive_reference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(1, 200)), int(rng.integers(2, 7))
    p = rng.dirichlet(np.full(k, 0.4), n)
    given = rng.integers(0, max(1, k - 1), n)  # the last class is never given, so it is never confident
    found = find_label_noise(p, given)
    joint, calibrated, off = naive(p.tolist(), given.tolist())
    assert found.confident_joint.tolist() == joint
    np.testing.assert_allclose(found.joint, calibrated, atol=1e-12)
    assert sorted(found.ranked.tolist()) == off
    assert found.joint.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(found.joint.sum(axis=1), np.bincount(given, minlength=k) / n)
    assert sorted(found.order.tolist()) == list(range(n))
    assert (np.diff(found.margin[found.ranked]) >= 0).all(), "the most suspect first"


def flipped(seed: int, n: int = 4000, k: int = 5, rate: float = 0.2) -> tuple[NDArray, NDArray, NDArray]:
    """Return the probabilities of a good but imperfect classifier, the true labels and the given labels."""
    rng = np.random.default_rng(seed)
    true = rng.choice(k, n, p=[0.4, 0.25, 0.2, 0.1, 0.05])
    logits = 3.0 * np.eye(k)[true] + rng.normal(0, 1, (n, k))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    wrong = rng.random(n) < rate
    return p, true, np.where(wrong, (true + rng.integers(1, k, n)) % k, true)


def test_planted_wrong_labels_are_found_and_their_matrix_is_estimated() -> None:
    p, true, given = flipped(0)
    found = find_label_noise(p, given)
    measured = measure_ranking((true != given)[found.order], len(found.ranked))
    assert measured["listed"]["precision"]["value"] > 0.85
    assert measured["listed"]["recall"]["value"] > 0.7
    assert measured["at_precision"]["recall"]["value"] > 0.9
    assert found.rate == pytest.approx(0.2, abs=0.04)
    actual = np.array([[np.mean(given[true == i] == j) for j in range(5)] for i in range(5)])
    np.testing.assert_allclose(found.noise_matrix.sum(axis=1), 1.0)
    assert np.abs(found.noise_matrix - actual)[:4].max() < 0.08, "without the class of 200 faces: its threshold is low"
    right = true != given
    assert (found.suggested[right & found.suspected] == true[right & found.suspected]).mean() > 0.95


def test_margin_shortens_the_list_but_not_the_estimates() -> None:
    p, true, given = flipped(2)
    whole, sure = find_label_noise(p, given), find_label_noise(p, given, least_margin=0.6)
    assert set(sure.ranked.tolist()) == {i for i in whole.ranked.tolist() if whole.margin[i] <= -0.6}
    assert (sure.ranked == whole.ranked[: len(sure.ranked)]).all()
    assert (sure.joint == whole.joint).all()
    wrong = true != given
    assert wrong[sure.ranked].mean() > wrong[whole.ranked].mean()
    with pytest.raises(ValueError, match="`least_margin` within"):
        find_label_noise(p, given, least_margin=1.0)


def test_correct_labels_give_a_short_list() -> None:
    p, true, _ = flipped(1)
    assert find_label_noise(p, true).suspected.mean() < 0.05


def test_classes_without_confident_or_labelled_faces_are_reported() -> None:
    p = np.array([[0.6, 0.3, 0.1], [0.5, 0.4, 0.1]])
    found = find_label_noise(p, np.array([0, 0]))
    assert np.isnan(found.thresholds[1:]).all()
    assert found.joint.tolist() == [[1.0, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert np.isnan(found.noise_matrix[1:]).all()


@pytest.mark.parametrize(
    ("p", "given", "words"),
    [
        ([[0.5, 0.5]], [2], "`given` within"),
        ([[0.5, 0.2]], [0], "some rows have negative values or do not sum to 1"),
        ([[0.5, 0.5]], [0, 1], r"but got \(1, 2\) and \(2,\)"),
    ],
)
def test_invalid_probabilities_and_labels_are_rejected(p: list, given: list, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        find_label_noise(np.array(p), np.array(given))


def test_precision_and_recall_have_intervals() -> None:
    wrong = np.array([True] * 9 + [False] + [True] * 5 + [False] * 5 + [True] * 5 + [False] * 75)
    found = measure_ranking(wrong, 20, lengths=(10, 1000))
    assert (found["faces"], found["wrong"]) == (100, 19)
    assert [row["k"] for row in found["precision_at"]] == [10], "no list is longer than the ranking"
    assert found["precision_at"][0]["value"] == 0.9
    assert 0.55 < found["precision_at"][0]["low"] < 0.6
    assert (found["listed"]["precision"]["value"], found["listed"]["recall"]["right"]) == (0.7, 14)
    # 14 of 15, then 14 of 17 (0.82), 14 of 18 (0.78); 19 of 25 (0.76): the longest at 0.8 is 17
    assert (found["at_precision"]["k"], found["at_precision"]["recall"]["right"]) == (17, 14)
    nothing = measure_ranking(np.zeros(5, dtype=bool), 0)
    assert (nothing["listed"]["precision"], nothing["listed"]["recall"]) == (None, None)
    with pytest.raises(ValueError, match="`listed` within"):
        measure_ranking(wrong, 101)
