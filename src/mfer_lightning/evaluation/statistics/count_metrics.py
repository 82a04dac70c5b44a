"""Compute metrics from counts, for many confusion matrices at once.

scikit-learn computes them for one table at a time; the bootstrap needs them for thousands of resamples. Tests compare
each of them with scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Confusions = NDArray[np.int64]
Figures = NDArray[np.float64]


def accuracy(confusions: Confusions) -> Figures:
    """Compute the accuracy. Here and below: confusions are (R,K,K) with true classes in rows, results are (R,)."""
    share: Figures = _diagonal(confusions).sum(axis=1) / confusions.sum(axis=(1, 2))
    return share


def mean_class_accuracy(confusions: Confusions) -> Figures:
    """Compute the mean recall over the classes that occur in the labels."""
    truth = confusions.sum(axis=2)
    return _mean_over(_divide(_diagonal(confusions), truth), truth > 0)


def macro_f1(confusions: Confusions) -> Figures:
    """Compute the mean F1 over the classes that occur in the labels."""
    return _mean_over(_f1(confusions), confusions.sum(axis=2) > 0)


def weighted_f1(confusions: Confusions) -> Figures:
    """Compute the mean F1 weighted by class size."""
    truth = confusions.sum(axis=2)
    mean: Figures = (_f1(confusions) * truth).sum(axis=1) / truth.sum(axis=1)
    return mean


def cohen_kappa(confusions: Confusions) -> Figures:
    """Compute agreement beyond chance; NaN if all labels and predictions are of one class."""
    n = confusions.sum(axis=(1, 2)).astype(np.float64)
    chance = (confusions.sum(axis=1) * confusions.sum(axis=2)).sum(axis=1) / n**2
    observed = _diagonal(confusions).sum(axis=1) / n
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(chance < 1, (observed - chance) / (1 - chance), np.nan)


#: metric -> its function.
FROM_COUNTS: Mapping[str, Callable[[Confusions], Figures]] = {
    "accuracy": accuracy,
    "mean_class_accuracy": mean_class_accuracy,
    "macro_f1": macro_f1,
    "weighted_f1": weighted_f1,
    "cohen_kappa": cohen_kappa,
}


def _diagonal(confusions: Confusions) -> Confusions:
    return np.diagonal(confusions, axis1=1, axis2=2)


def _f1(confusions: Confusions) -> Figures:
    return _divide(2 * _diagonal(confusions), confusions.sum(axis=1) + confusions.sum(axis=2))


def _divide(counts: Confusions, of: Confusions) -> Figures:
    return counts / np.maximum(of, 1)


def _mean_over(figures: Figures, counted: NDArray[np.bool_]) -> Figures:
    result: Figures = (figures * counted).sum(axis=1) / counted.sum(axis=1)
    return result
