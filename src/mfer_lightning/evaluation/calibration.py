"""Measure calibration, i.e. whether predictions with confidence 0.8 are correct 8 times in 10, and fit a temperature.

``sklearn.calibration.calibration_curve`` is not used because it supports only binary labels and does not return bin
counts, which the calibration error and the intervals need.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from mfer_lightning.confidence import TEMPERATURES


@dataclass(frozen=True, eq=False)
class Reliability:
    """Samples binned by their confidence.

    Args:
        count: (B,) int64 samples in each bin, all above 0.
        confidence: (B,) float64 mean confidence, ascending.
        accuracy: (B,) float64 fraction of correct predictions.
    """

    count: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def error(self) -> float:
        """The expected calibration error, ``sum_b n_b / n |accuracy_b - confidence_b|``, within [0, 1]."""
        gaps = np.abs(self.accuracy - self.confidence)
        return float((self.count * gaps).sum() / self.count.sum())


def reliability(probabilities: NDArray[np.floating], label: NDArray[np.integer], bins: int = 15) -> Reliability:
    """Bin samples by the probability of their predicted class into bins of equal mass.

    Bins of equal mass estimate the calibration error with less bias than bins of equal width, most of which are nearly
    empty for a confident model (Nixon et al. 2019). Samples of equal confidence share a bin, so that the order of rows
    does not matter; there are fewer bins if confidences repeat or there are few samples.

    Args:
        probabilities: (N,K), rows summing to 1.
        label: (N,) class of each sample, within [0, K).
        bins: number of bins, at least 1.

    Raises:
        ValueError: if there are no samples, shapes disagree or an argument lies outside its range.

    Example:
        >>> p = np.array([[0.6, 0.4], [0.8, 0.2], [0.1, 0.9], [0.0, 1.0]])
        >>> bins = reliability(p, np.array([1, 0, 1, 1]), bins=2)
        >>> bins.confidence.round(2).tolist(), bins.accuracy.tolist(), round(bins.error, 3)
        ([0.7, 0.95], [0.5, 1.0], 0.125)
    """
    if bins < 1:
        raise ValueError(f"Expected argument `bins` to be at least 1, but got {bins}.")
    p, y = _checked(probabilities, label, "probabilities")
    confidence = p.max(axis=1)
    right = p.argmax(axis=1) == y
    place = equal_mass_bins(confidence, bins)
    count = np.bincount(place)
    return Reliability(
        count=count,
        confidence=np.bincount(place, weights=confidence) / count,
        accuracy=np.bincount(place, weights=right) / count,
    )


def equal_mass_bins(confidence: NDArray[np.float64], bins: int = 15) -> NDArray[np.int64]:
    """Assign samples to bins of equal mass, see :func:`reliability`.

    Args:
        confidence: (N,), N above 0.
        bins: maximum number of bins.

    Returns:
        (N,) bin of each sample, numbered from 0 by increasing confidence; no bin is empty.

    Example:
        >>> equal_mass_bins(np.array([0.9, 0.2, 0.8, 0.2]), bins=4).tolist()
        [2, 0, 1, 0]
    """
    n = len(confidence)
    # first sample of each bin after the first; sizes as in np.array_split, which differ by at most one
    starts = np.cumsum([len(part) for part in np.array_split(np.arange(n), bins)])[:-1]
    edges = np.unique(np.sort(confidence)[starts[starts < n]])
    place = np.searchsorted(edges, confidence, side="right")
    numbered: NDArray[np.int64] = np.unique(place, return_inverse=True)[1].reshape(-1)
    return numbered


def expected_calibration_error(
    probabilities: NDArray[np.floating], label: NDArray[np.integer], bins: int = 15
) -> float:
    """Compute the expected calibration error of the predicted class over equal-mass bins (see :func:`reliability`)."""
    return reliability(probabilities, label, bins).error


def fit_temperature(logits: NDArray[np.floating], label: NDArray[np.integer]) -> float:
    """Find the temperature T that minimises the negative log-likelihood of ``softmax(logits / T)``.

    Guo et al., On Calibration of Modern Neural Networks, ICML 2017. Fit it on validation, never on the reported set.
    Predictions do not change, only confidences. A temperature above 1 means that the model was over-confident.

    Args:
        logits: (N,K), finite.
        label: (N,) class of each sample, within [0, K).

    Returns:
        T, within :data:`TEMPERATURES`.

    Raises:
        ValueError: if there are no samples or shapes disagree.

    Example:
        >>> logits = np.log([[0.75, 0.25]] * 4) * 3  # correct 3 times in 4, with logits 3 times too large
        >>> round(fit_temperature(logits, np.array([0, 0, 0, 1])), 3)
        3.0
    """
    z, y = _checked(logits, label, "logits")
    rows = np.arange(len(y))

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(z / np.exp(log_temperature), axis=1)[rows, y].mean())

    # in log T, the loss has a single minimum (it is convex in 1/T), and the scale of the logits does not matter
    found = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-7})
    return float(np.exp(found.x))


def _checked(
    scores: NDArray[np.floating], label: NDArray[np.integer], name: str
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    scores64 = np.asarray(scores, dtype=np.float64)
    label64 = np.asarray(label, dtype=np.int64)
    if scores64.ndim != 2 or len(scores64) == 0:
        raise ValueError(f"Expected argument `{name}` to be of shape (N,K) with N above 0, but got {scores64.shape}.")
    if label64.shape != scores64.shape[:1]:
        raise ValueError(f"Expected argument `label` to be of shape {scores64.shape[:1]}, but got {label64.shape}.")
    if label64.min() < 0 or label64.max() >= scores64.shape[1]:
        raise ValueError(
            f"Expected argument `label` within [0, {scores64.shape[1] - 1}], "
            f"but got {label64.min()} to {label64.max()}."
        )
    return scores64, label64
