"""Wilson's interval against its formula, a published half-width and its nominal coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, norm

from mfer_lightning.evaluation.intervals import wilson


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (1, 3), (2791, 3068), (37, 74)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_matches_the_formula(k: int, n: int, confidence: float) -> None:
    z = norm.ppf((1 + confidence) / 2)
    p = k / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert wilson(k, n, confidence) == pytest.approx((centre - half, centre + half), abs=1e-9)


def test_half_width_at_rafdb_test_set_size_matches_the_published_value() -> None:
    low, high = wilson(round(0.9208 * 3068), 3068)
    assert 100 * (high - low) / 2 == pytest.approx(0.96, abs=0.005)


@pytest.mark.parametrize("p", [0.5, 0.9])
def test_covers_95_percent_at_500_samples(p: float) -> None:
    ends = [wilson(k, 500) for k in range(501)]
    covered = sum(binom.pmf(k, 500, p) for k, (low, high) in enumerate(ends) if low <= p <= high)
    assert 0.94 <= covered <= 0.96


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((1, 0), "`n` to be at least 1"), ((5, 4), r"`successes` within \[0, 4\]"), ((1, 4, 1.0), "`confidence` between")],
)
def test_invalid_arguments_raise_value_error(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wilson(*arguments)
