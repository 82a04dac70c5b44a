"""Accuracies, drops and means against hand-computed cases, and their intervals against simulations."""

from __future__ import annotations

import numpy as np
import pytest

from mfer_lightning.analysis.accuracy_intervals import drop, mean_accuracy, point


def test_accuracy_of_one_condition_is_counted() -> None:
    right = np.array([True, True, False, True, False])
    found = point(right, np.array([0, 0, 0, 2, 2]))
    assert found["accuracy"] == 0.6
    assert found["mean_class_accuracy"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found["n"] == 5
    assert (found["low"], found["high"]) == pytest.approx((0.2307, 0.8824), abs=1e-4)  # Wilson, 3 of 5


def test_identical_predictions_have_zero_drop() -> None:
    right = np.array([True] * 30 + [False] * 10)
    value, low, high = drop(right, right)
    assert value == 0
    assert low == pytest.approx(-high)
    assert 0 < high < 0.06


def test_drop_interval_matches_agresti_and_min() -> None:
    before, after = np.array([1] * 50 + [0] * 50, bool), np.array([1] * 30 + [0] * 65 + [1] * 5, bool)
    value, low, high = drop(before, after)  # 20 lost, 5 won
    b, c, n = 20.5, 5.5, 102
    half = 1.959964 * np.sqrt(b + c - (b - c) ** 2 / n) / n
    assert value == pytest.approx(0.15)
    assert (low, high) == pytest.approx(((b - c) / n - half, (b - c) / n + half), abs=1e-6)


@pytest.mark.parametrize(("lost", "won", "n"), [(0.10, 0.02, 300), (0.01, 0.01, 300), (0.3, 0.05, 100)])
def test_drop_intervals_have_nominal_coverage(lost: float, won: float, n: int) -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(1000):
        u = rng.random(n)
        before, after = u < 0.5, np.where(u < 0.5, u >= lost, u >= 1 - won)
        _, low, high = drop(before, after)
        covered += low <= lost - won <= high
    assert 0.935 <= covered / 1000 <= 0.985


def test_mean_over_changes_and_its_ratio_to_the_clean_accuracy() -> None:
    clean = np.array([True] * 80 + [False] * 20)
    found = mean_accuracy(clean, [clean, np.array([True] * 40 + [False] * 60)])
    assert found["accuracy"]["value"] == pytest.approx(0.6)
    assert found["relative"]["value"] == pytest.approx(0.75)
    for figures in found.values():
        assert figures["low"] < figures["value"] < figures["high"]
    assert mean_accuracy(clean, [clean])["relative"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert mean_accuracy(np.zeros(9, bool), [clean[:9]])["relative"] is None


def test_mean_interval_is_over_faces_not_predictions() -> None:
    """Sixty changes that fail on the same faces give no more information about other faces than one."""
    right = np.random.default_rng(0).random(400) < 0.5
    found = mean_accuracy(np.ones(400, bool), [right] * 60)["accuracy"]
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * 0.5 / 20, rel=0.1)
