"""Spread within classes and distance between class means."""

from __future__ import annotations

import numpy as np
import pytest

from mfer_lightning.evaluation.compactness import compactness


def test_matches_loops_over_the_formula() -> None:
    rng = np.random.default_rng(0)
    f, y = rng.normal(size=(60, 7)), rng.choice([0, 2, 5], 60, p=[0.7, 0.2, 0.1])
    spreads, means = [], []
    for k in (0, 2, 5):
        mine = f[y == k]
        means.append(mine.mean(axis=0))
        spreads.append(np.mean([np.dot(row - means[-1], row - means[-1]) / 7 for row in mine]))
    pairs = [(0, 1), (0, 2), (1, 2)]
    distances = [np.dot(means[i] - means[j], means[i] - means[j]) / 7 for i, j in pairs]
    found = compactness(f, y)
    assert found.spread == pytest.approx(np.mean(spreads))
    assert found.distance == pytest.approx(np.mean(distances))
    assert found.ratio == pytest.approx(np.mean(spreads) / np.mean(distances))


def test_known_mixture_gives_its_variance_and_distance() -> None:
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 20_000)
    f = rng.normal(scale=0.5, size=(20_000, 16)) + 3.0 * y[:, None]
    found = compactness(f, y)
    assert found.spread == pytest.approx(0.25, rel=0.01)
    assert found.distance == pytest.approx(9.0, rel=0.01)


def test_scaling_features_changes_both_measures_but_not_their_ratio() -> None:
    rng = np.random.default_rng(2)
    f, y = rng.normal(size=(40, 3)), np.arange(40) % 4
    whole, small = compactness(f, y), compactness(0.1 * f + 7, y)
    assert small.spread == pytest.approx(0.01 * whole.spread)
    assert small.ratio == pytest.approx(whole.ratio)


def test_undefined_measures_are_none() -> None:
    one = compactness(np.array([[1.0], [3.0]]), np.array([0, 0]))
    assert (one.spread, one.distance, one.ratio) == (1.0, None, None)
    assert compactness(np.zeros((4, 2)), np.array([0, 0, 1, 1])).ratio is None  # everything collapsed into a point


def test_unlabelled_rows_are_ignored() -> None:
    f = np.array([[0.0], [2.0], [1e6]])
    assert compactness(f, np.array([0, 0, -1])).spread == 1.0


def test_invalid_arguments_raise_value_error() -> None:
    f = np.ones((3, 2))
    with pytest.raises(ValueError, match="`features` to be of shape"):
        compactness(f[:, 0], np.zeros(3))
    with pytest.raises(ValueError, match=r"`label` to be of shape \(3,\)"):
        compactness(f, np.zeros(2))
    with pytest.raises(ValueError, match="at least one label"):
        compactness(f, np.full(3, -1))
    with pytest.raises(ValueError, match="finite"):
        compactness(f * np.nan, np.zeros(3))
