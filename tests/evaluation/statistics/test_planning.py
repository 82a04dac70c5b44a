"""How many seeds a study needs: the formula against a simulation of the study, and invalid pilots."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mfer_lightning.evaluation.statistics import compare_methods, plan_seeds


def trained(rng: np.random.Generator, seeds: int, ease: np.ndarray, spread: float) -> np.ndarray:
    """Simulate correct predictions of a method's seeds: images of known difficulty, and a random effect per seed."""
    luck = rng.normal(0, spread, (seeds, 1))
    return rng.random((seeds, len(ease))) < np.clip(ease + luck, 0, 1)


def test_promised_difference_has_80_percent_power() -> None:
    rng = np.random.default_rng(1)
    ease = rng.choice([0.55, 0.95], 3000)
    pilot = [trained(rng, 400, ease, 0.008) for _ in "ab"]  # large enough to be nearly deterministic
    plan = plan_seeds(*pilot, images=3000, difference=0.05, family=3)
    wanted = plan.detectable[6]
    found = 0
    for _ in range(400):
        a, b = trained(rng, 6, ease + wanted, 0.008), trained(rng, 6, ease, 0.008)
        found += compare_methods(a, b, confidence=1 - 0.05 / 3).verdict == "better"
    assert 0.73 < found / 400 < 0.87


def test_variances_match_a_study_of_that_size() -> None:
    rng = np.random.default_rng(2)
    ease = rng.choice([0.6, 0.9], 2000)
    a, b = (trained(rng, 300, ease, 0.01) for _ in "ab")
    plan = plan_seeds(a, b, images=8000, difference=0.01)
    assert plan.seed_variance == pytest.approx((a.mean(1).var(ddof=1) + b.mean(1).var(ddof=1)) / 2)
    assert plan.image_variance < 1e-7, "the two methods find the same images hard"
    other = trained(rng, 300, rng.permutation(ease), 0.01)
    small, large = (plan_seeds(a, other, images=n, difference=0.01).image_variance for n in (2000, 8000))
    assert small == pytest.approx(4 * large)
    assert small == pytest.approx(2 * 0.15**2 / 2000, rel=0.1), "the variance of each image's difference in ease"


def test_smallest_sufficient_number_of_seeds_is_chosen() -> None:
    rng = np.random.default_rng(3)
    a, b = (trained(rng, 50, np.full(5000, 0.8), 0.01) for _ in "ab")
    plan = plan_seeds(a, b, images=5000, difference=0.02, family=2)
    assert plan.reached
    assert plan.detectable[plan.seeds] <= 0.02 < plan.detectable[plan.seeds - 1]
    assert list(plan.detectable.values()) == sorted(plan.detectable.values(), reverse=True)
    by_hand = (2 * plan.seed_variance / 5 + plan.image_variance) ** 0.5
    critical = stats.t.isf(0.05 / 2 / 2, 8)
    assert stats.nct.sf(critical, 8, plan.detectable[5] / by_hand) == pytest.approx(0.8, abs=1e-3)


def test_more_seeds_are_not_suggested_if_images_are_the_limit() -> None:
    rng = np.random.default_rng(4)
    a, b = (trained(rng, 20, rng.choice([0.1, 0.9], 1000), 0.0) for _ in "ab")  # their errors differ
    plan = plan_seeds(a, b, images=1000, difference=0.001)
    assert (plan.seeds, plan.reached) == (5, False)
    strict = plan_seeds(a, b, images=1000, difference=0.001, tolerance=0.0)
    assert strict.seeds == 10
    noisy = plan_seeds(*(trained(rng, 20, np.full(1000, 0.5), 0.2) for _ in "ab"), images=1000, difference=0.001)
    assert noisy.detectable[noisy.seeds] <= 1.25 * noisy.detectable[10] < noisy.detectable[noisy.seeds - 1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"correct_b": np.ones((3, 9), dtype=bool)}, "on the same images"),
        ({"correct_a": np.ones((1, 10), dtype=bool)}, "at least 2 seeds"),
        ({"correct_a": np.ones((3, 10))}, "to be bool, but got float64 and bool"),
        ({"difference": float("nan")}, "`difference` above 0"),
        ({"least": 2}, "3 <= least <= most"),
        ({"least": 8, "most": 7}, "3 <= least <= most"),
        ({"difference": 0.0}, "`difference` above 0"),
        ({"images": 1}, "`images` of at least 2"),
        ({"confidence": 1.0}, "within (0, 1)"),
    ],
)
def test_invalid_pilot_is_rejected(change: dict, words: str) -> None:
    rng = np.random.default_rng(0)
    given = {name: rng.random((3, 10)) < 0.5 for name in ("correct_a", "correct_b")}
    with pytest.raises(ValueError, match=words.replace("(", r"\(").replace(")", r"\)")):
        plan_seeds(**{**given, "images": 10, "difference": 0.1, **change})
