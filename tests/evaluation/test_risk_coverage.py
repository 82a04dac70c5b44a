"""The threshold below which a prediction is uncertain: the smallest whose risk on validation faces is low enough."""

from __future__ import annotations

import numpy as np
import pytest

from mfer_lightning.evaluation.risk_coverage import choose_threshold, risk_coverage


def drawn(n: int = 500, seed: int = 0, levels: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Draw calibrated confidences, optionally rounded to a few levels, and matching predictions."""
    generator = np.random.default_rng(seed)
    confidence = generator.uniform(0.2, 1.0, n)
    if levels:
        confidence = np.round(confidence * levels) / levels
    return confidence, generator.uniform(size=n) < confidence


@pytest.mark.parametrize("levels", [None, 10])
def test_each_point_of_the_curve_matches_its_definition(levels: int | None) -> None:
    confidence, right = drawn(levels=levels)
    curve = risk_coverage(confidence, right)
    assert curve.threshold.tolist() == sorted(set(confidence.tolist()), reverse=True)
    for threshold, coverage, risk in zip(curve.threshold, curve.coverage, curve.risk, strict=True):
        answered = confidence >= threshold
        assert coverage == pytest.approx(answered.mean())
        assert risk == pytest.approx((~right[answered]).mean())


def test_risk_at_a_coverage_uses_the_most_confident_faces() -> None:
    confidence, right = drawn()
    order = np.argsort(-confidence)
    curve = risk_coverage(confidence, right)
    for share in (0.1, 0.5, 1.0):
        surest = order[: round(share * len(order))]
        assert curve.risk_at(share) == pytest.approx((~right[surest]).mean())


def test_order_of_faces_does_not_matter() -> None:
    confidence, right = drawn(levels=7)
    order = np.random.default_rng(1).permutation(len(right))
    one, other = risk_coverage(confidence, right), risk_coverage(confidence[order], right[order])
    np.testing.assert_array_equal(one.risk, other.risk)
    assert one.area == other.area


def test_area_is_the_mean_risk_over_coverages() -> None:
    confidence = np.array([0.9, 0.8, 0.7, 0.6])
    assert risk_coverage(confidence, np.array([True, True, True, False])).area == pytest.approx(0.25 / 4)
    assert risk_coverage(confidence, np.array([False, True, True, True])).area == pytest.approx(
        (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4
    )


@pytest.mark.parametrize("risk", [0.05, 0.1, 0.2, 0.3])
@pytest.mark.parametrize("levels", [None, 12])
def test_threshold_is_the_smallest_that_meets_the_risk(risk: float, levels: int | None) -> None:
    confidence, right = drawn(levels=levels, seed=3)
    found = choose_threshold(confidence, right, risk)
    assert found is not None
    answered = confidence >= found.threshold
    assert (~right[answered]).mean() <= risk
    assert found.error == pytest.approx((~right[answered]).mean())
    assert found.coverage == pytest.approx(answered.mean())
    assert found.error_interval[0] <= found.error <= found.error_interval[1]
    for lower in np.unique(confidence[~answered]):
        assert (~right[confidence >= lower]).mean() > risk


def test_threshold_is_zero_if_all_answers_meet_the_risk() -> None:
    confidence, right = drawn()
    found = choose_threshold(confidence, right, 0.9)
    assert found is not None
    assert (found.threshold, found.coverage) == (0.0, 1.0)


def test_no_threshold_exists_if_the_most_confident_faces_are_wrong() -> None:
    assert choose_threshold(np.array([0.9, 0.8]), np.array([False, False]), 0.4) is None
    assert choose_threshold(np.array([0.9, 0.8, 0.7]), np.array([False, True, True]), 0.4) is not None


def test_invalid_arguments_raise_value_error() -> None:
    for risk in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="`risk` to be within"):
            choose_threshold(np.array([0.5]), np.array([True]), risk)
    for confidence, right in ((np.zeros(0), np.zeros(0, bool)), (np.zeros(3), np.zeros(2, bool))):
        with pytest.raises(ValueError, match=r"to have the same shape \(N,\) with N above 0"):
            risk_coverage(confidence, right)
