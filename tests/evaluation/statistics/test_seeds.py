"""Mean, spread and t interval over seeds equal SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mfer_lightning.evaluation.statistics import summarise_seeds


def test_interval_matches_scipy() -> None:
    values = [0.911, 0.918, 0.907, 0.9155]
    found = summarise_seeds(values, confidence=0.9)
    low, high = stats.t.interval(0.9, 3, loc=np.mean(values), scale=stats.sem(values))
    assert (found.n, found.mean, found.spread) == (
        4,
        pytest.approx(np.mean(values)),
        pytest.approx(np.std(values, ddof=1)),
    )
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)


def test_one_seed_has_no_spread_and_no_interval() -> None:
    found = summarise_seeds([0.5])
    assert (found.n, found.mean, found.spread, found.low, found.high) == (1, 0.5, None, None, None)


@pytest.mark.parametrize(
    ("values", "confidence", "words"),
    [([], 0.95, "at least one"), ([0.1, np.nan], 0.95, "finite"), ([0.1], 1.0, "confidence"), ([[0.1]], 0.9, "shape")],
)
def test_invalid_values_are_rejected(values: list, confidence: float, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        summarise_seeds(values, confidence)
