"""Calibration error against scikit-learn's calibration curve and known values; recovery of known temperatures."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.calibration import calibration_curve

from mfer_lightning.evaluation.calibration import (
    TEMPERATURES,
    expected_calibration_error,
    fit_temperature,
    reliability,
)


def calibrated(n: int, k: int = 5, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits, and labels drawn from their softmax: the true temperature is 1."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2, size=(n, k))
    cumulative = softmax(logits, axis=1).cumsum(axis=1)
    label = (rng.random((n, 1)) > cumulative).sum(axis=1).clip(max=k - 1)
    return logits, label


class TestReliability:
    @pytest.mark.parametrize(("n", "bins"), [(600, 15), (607, 15), (64, 10)])
    def test_error_matches_a_loop_over_sorted_samples(self, n: int, bins: int) -> None:
        logits, label = calibrated(n)
        p = softmax(logits, axis=1)
        order = np.argsort(p.max(axis=1))
        expected = 0.0
        for part in np.array_split(order, bins):
            right = [p[i].argmax() == label[i] for i in part]
            expected += len(part) / n * abs(np.mean(right) - np.mean([p[i].max() for i in part]))
        assert expected_calibration_error(p, label, bins) == pytest.approx(expected, abs=1e-12)

    def test_bins_match_scikit_learn_quantile_bins(self) -> None:
        logits, label = calibrated(1501)  # quantiles of 15 bins fall onto samples
        p = softmax(logits, axis=1)
        accuracy, confidence = calibration_curve(
            p.argmax(axis=1) == label, p.max(axis=1), n_bins=15, strategy="quantile"
        )
        found = reliability(p, label)
        np.testing.assert_allclose(found.confidence, confidence, atol=2e-3)  # a sample at an edge may change sides
        np.testing.assert_allclose(found.accuracy, accuracy, atol=0.011)
        assert found.count.sum() == 1501
        assert found.count.max() - found.count.min() <= 1

    def test_error_is_small_if_calibrated_and_large_if_overconfident(self) -> None:
        logits, label = calibrated(20_000)
        assert expected_calibration_error(softmax(logits, axis=1), label) < 0.015
        assert expected_calibration_error(softmax(4 * logits, axis=1), label) > 0.1

    def test_equal_confidences_share_a_bin_in_any_order(self) -> None:
        p = np.array([[0.75, 0.25]] * 40)
        label = np.array([0] * 30 + [1] * 10)
        for order in (np.arange(40), np.arange(40)[::-1]):
            found = reliability(p, label[order])
            assert found.count.tolist() == [40]
            assert found.error == pytest.approx(0.0)

    def test_fewer_samples_than_bins(self) -> None:
        found = reliability(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 0]))
        assert found.count.tolist() == [1, 1]
        assert found.error == pytest.approx((0.8 + 0.1) / 2)

    def test_invalid_arguments_raise_value_error(self) -> None:
        p = np.array([[0.5, 0.5]])
        with pytest.raises(ValueError, match="`bins` to be at least 1, but got 0"):
            reliability(p, np.array([0]), bins=0)
        with pytest.raises(ValueError, match="N above 0"):
            reliability(p[:0], np.array([], dtype=int))
        with pytest.raises(ValueError, match=r"`label` within \[0, 1\], but got 2 to 2"):
            reliability(p, np.array([2]))
        with pytest.raises(ValueError, match=r"`label` to be of shape \(1,\)"):
            reliability(p, np.array([0, 1]))


class TestTemperature:
    @pytest.mark.parametrize("truth", [0.25, 1.0, 3.0])
    def test_known_temperature_is_recovered(self, truth: float) -> None:
        logits, label = calibrated(40_000)
        assert fit_temperature(logits * truth, label) == pytest.approx(truth, rel=0.03)

    def test_fitted_temperature_minimises_nll(self) -> None:
        logits, label = calibrated(500, seed=4)
        logits *= 2.5
        found = fit_temperature(logits, label)

        def nll(temperature: float) -> float:
            p = softmax(logits / temperature, axis=1)
            return float(-np.log(p[np.arange(500), label]).mean())

        grid = np.geomspace(0.1, 20, 400)
        assert nll(found) <= min(nll(t) for t in grid) + 1e-12

    def test_temperature_without_optimum_stays_within_bounds(self) -> None:
        always_right, never_right = np.eye(3) * 5, np.eye(3)[[1, 2, 0]] * 5
        assert TEMPERATURES[0] <= fit_temperature(always_right, np.arange(3)) < 0.2
        assert 40 < fit_temperature(never_right, np.arange(3)) <= TEMPERATURES[1]
