"""Choose the confidence threshold below which a prediction counts as uncertain, from the risk-coverage curve.

El-Yaniv and Wiener, On the Foundations of Noise-free Selective Classification, JMLR 2010; Geifman and El-Yaniv,
Selective Classification for Deep Neural Networks, NeurIPS 2017. The latter choose the threshold by an upper bound on
the risk; :func:`choose_threshold` uses the measured risk and reports its interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.evaluation.intervals import wilson


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """Coverage and risk if only predictions whose confidence reaches a threshold are accepted.

    One point for each of the M distinct confidences, the highest first; predictions of equal confidence share a point.

    Args:
        threshold: (M,) minimum confidence of an accepted prediction, decreasing.
        coverage: (M,) fraction of all predictions that are accepted, increasing to 1.
        risk: (M,) fraction of incorrect predictions among the accepted ones.
        n: number of faces.
    """

    threshold: NDArray[np.float64]
    coverage: NDArray[np.float64]
    risk: NDArray[np.float64]
    n: int

    @property
    def area(self) -> float:
        """Area under the risk-coverage curve (AURC): the mean risk over coverage; 0 if all predictions are correct."""
        widths = np.diff(self.coverage, prepend=0.0)
        return float((widths * self.risk).sum())

    def risk_at(self, coverage: float) -> float:
        """Return the risk at the first point with at least this coverage, within (0, 1]."""
        return float(self.risk[np.searchsorted(self.coverage, coverage - 1e-12)])


@dataclass(frozen=True)
class Selection:
    """A threshold, and its coverage and error on the faces that it was chosen on.

    Args:
        threshold: predictions with a lower confidence are uncertain; with 0, no prediction is uncertain.
        risk: maximum fraction of incorrect predictions that was allowed.
        coverage: fraction of the predictions that are accepted.
        error: fraction of incorrect predictions among the accepted ones.
        error_interval: 95% Wilson interval of the error.
        n: number of faces.
    """

    threshold: float
    risk: float
    coverage: float
    error: float
    error_interval: tuple[float, float]
    n: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**vars(self), "error_interval": list(self.error_interval)}


def risk_coverage(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> RiskCoverage:
    """Compute the risk-coverage curve.

    Args:
        confidence: (N,) probability of the predicted class, N above 0.
        right: (N,) whether each prediction is correct.

    Raises:
        ValueError: if there are no faces, or shapes disagree.

    Example:
        >>> curve = risk_coverage(np.array([0.9, 0.8, 0.8, 0.5]), np.array([True, True, False, False]))
        >>> curve.threshold.tolist(), curve.coverage.tolist(), curve.risk.round(2).tolist()
        ([0.9, 0.8, 0.5], [0.25, 0.75, 1.0], [0.0, 0.33, 0.5])
    """
    confidence64, hits = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=bool)
    if confidence64.ndim != 1 or len(confidence64) == 0 or hits.shape != confidence64.shape:
        raise ValueError(
            "Expected arguments `confidence` and `right` to have the same shape (N,) with N above 0, but got "
            f"{confidence64.shape} and {hits.shape}."
        )
    order = np.argsort(-confidence64, kind="stable")
    ordered = confidence64[order]
    last = np.flatnonzero(np.append(np.diff(ordered) != 0, True))  # position of the last face of each confidence
    answered = last + 1
    wrong = np.cumsum(~hits[order])[last]
    return RiskCoverage(ordered[last], answered / len(ordered), wrong / answered, len(ordered))


def choose_threshold(confidence: NDArray[np.floating], right: NDArray[np.bool_], risk: float) -> Selection | None:
    """Find the smallest threshold at which the fraction of incorrect predictions is at most ``risk``.

    Choose it on validation faces, never on the reported faces. The error is an estimate, not a bound. It varies by
    chance on other faces of the same distribution, and can be arbitrarily larger on faces of a different distribution.

    Args:
        confidence: (N,) probability of the predicted class, N above 0.
        right: (N,) whether each prediction is correct.
        risk: maximum fraction of incorrect predictions, within (0, 1).

    Returns:
        The threshold, which is 0 if the risk over all predictions is low enough; None if no threshold reaches the risk.

    Raises:
        ValueError: if ``risk`` is out of range, or as for :func:`risk_coverage`.

    Example:
        >>> p, right = np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, True, False, True])
        >>> found = choose_threshold(p, right, risk=0.2)
        >>> found.threshold, found.coverage, found.error
        (0.8, 0.5, 0.0)
    """
    if not 0 < risk < 1:
        raise ValueError(f"Expected argument `risk` to be within (0, 1), but got {risk}.")
    curve = risk_coverage(confidence, right)
    kept = np.flatnonzero(curve.risk <= risk)
    if len(kept) == 0:
        return None
    point = int(kept[-1])
    answered = round(float(curve.coverage[point]) * curve.n)
    wrong = round(float(curve.risk[point]) * answered)
    threshold = 0.0 if point == len(curve.threshold) - 1 else float(curve.threshold[point])
    return Selection(threshold, risk, answered / curve.n, wrong / answered, wilson(wrong, answered), curve.n)
