r"""Split the variance of the difference between two methods into contributions of seeds, images and a residual.

Model for image i of class (stratum) k and seed s of method m, where x = 1 if the prediction is correct:

.. math:: x_{msi} = \mu_m + \alpha_{ms} + \iota_{mi} + \varepsilon_{msi}

with seed effects alpha, image effects iota (which the methods may share, because only their difference matters) and a
residual. ``docs/statistics.md`` derives the estimates and the degrees of freedom below from this model, and shows the
measured error rates of the test.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Coefficients that correct Satterthwaite's degrees of freedom for few seeds; see :func:`effective_degrees_of_freedom`.
SEEDS_ALIKE, SEEDS_SKEWED, SEEDS_UNEQUAL, SEEDS_IMAGES = -1.0, 6.5, 3.0, 0.7
#: Minimum of 1 / degrees of freedom. Above 100,000 degrees of freedom, their number no longer matters.
_LEAST_INVERSE = 1e-5


@dataclass(frozen=True)
class Components:
    """Components of the variance of a difference between two methods' mean metrics, each 0 or more.

    Args:
        seeds_a: variance over a's seeds divided by their number; includes a's part of the residual.
        seeds_b: the same for b.
        images: contribution of the images to the variance, without the residual; clipped at 0.
        uncertainty: ``sum (coefficient * mean square)^2 / degrees of freedom`` over the mean squares in ``images``.
    """

    seeds_a: float
    seeds_b: float
    images: float
    uncertainty: float

    @property
    def total(self) -> float:
        """The variance of the difference."""
        return self.seeds_a + self.seeds_b + self.images


def seed_figures(correct: NDArray[np.bool_], strata: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute each seed's accuracy, averaged over strata.

    Args:
        correct: (S,N) bool.
        strata: (N,) from 0, none empty; all 0 for plain accuracy.

    Returns:
        (S,) values.
    """
    figures: NDArray[np.float64] = _by_stratum(correct, strata).mean(axis=1)
    return figures


def variance_components(a: NDArray[np.bool_], b: NDArray[np.bool_], strata: NDArray[np.int64]) -> Components:
    """Estimate the components of the variance of mean(a) - mean(b).

    The variance over images cannot be estimated in a stratum with a single image, which gets the mean of the others.

    Args:
        a: (S_a,N) bool, correctness of each seed of method a.
        b: (S_b,N) bool, the same for method b.
        strata: (N,) from 0, none empty; all 0 for plain accuracy.
    """
    n = np.bincount(strata).astype(np.float64)
    spread = np.maximum(n - 1, 1)
    share = 1 / (len(n) ** 2 * n)  # weight of a stratum's mean square over images in the variance of the metric
    known = n > 1
    seeds, residuals = [], []
    for x in (a, b):
        s = len(x)
        mean = x.mean(axis=0)
        own = _by_stratum(x, strata)
        # values are 0 or 1: the squares around an image's mean sum to S p (1 - p)
        squares = s * np.bincount(strata, weights=mean * (1 - mean)) - n * ((own - own.mean(axis=0)) ** 2).sum(axis=0)
        residual = _fill(np.maximum(squares, 0) / ((s - 1) * spread), known)
        variance = float(own.mean(axis=1).var(ddof=1))
        if variance < 1e-18:  # identical seed accuracies: estimate it from differences in single predictions
            variance = float(share @ residual)
        seeds.append(variance / s)
        residuals.append((residual / s, (s - 1) * spread))
    d = a.mean(axis=0) - b.mean(axis=0)
    centred = d - (np.bincount(strata, weights=d) / n)[strata]
    square = _fill(np.bincount(strata, weights=centred**2) / spread, known)
    left = float(share @ (square - residuals[0][0] - residuals[1][0]))
    parts = [(square, spread), *residuals]
    uncertainty = float(sum(((share * ms) ** 2 / freedom).sum() for ms, freedom in parts))
    return Components(seeds[0], seeds[1], max(0.0, left), uncertainty)


def effective_degrees_of_freedom(components: Components, seeds_a: int, seeds_b: int) -> float:
    r"""Compute the degrees of freedom of the t distribution of the difference divided by its standard error.

    With w the components' fractions of the total, nu = seeds - 1, and u the ``uncertainty``, Satterthwaite's formula is

    .. math:: 1/f = w_A^2/\nu_A + w_B^2/\nu_B + u / total^2.

    The formula is inaccurate if a method has only three seeds: instead of 5%, the error rate of the test is between
    3.5% (equal variances) and 7.8% (3 and 10 seeds). Terms of the next order, which vanish if there is only one
    component, correct most of that. Their four coefficients were chosen to keep the largest deviation from 5% small for
    3 to 10 seeds, ratios of standard deviations up to 3, and image components of up to 70% of the variance:

    .. math::
        w_A w_B [-1/(\nu_A\nu_B) + 6.5 (w_A - w_B)(1/\nu_A^2 - 1/\nu_B^2) + 3 (1/\nu_A - 1/\nu_B)^2]
        + 0.7 w_I (w_A/\nu_A^2 + w_B/\nu_B^2).

    Returns:
        f, within [1, 100000].
    """
    total = components.total
    if total <= 0:
        return 1 / _LEAST_INVERSE
    a, b, images = components.seeds_a / total, components.seeds_b / total, components.images / total
    x, y = 1 / (seeds_a - 1), 1 / (seeds_b - 1)
    inverse = a**2 * x + b**2 * y + components.uncertainty / total**2
    inverse += a * b * (SEEDS_ALIKE * x * y + SEEDS_SKEWED * (x**2 - y**2) * (a - b) + SEEDS_UNEQUAL * (x - y) ** 2)
    inverse += SEEDS_IMAGES * images * (a * x**2 + b * y**2)
    return 1 / min(1.0, max(_LEAST_INVERSE, inverse))


def _by_stratum(correct: NDArray[np.bool_], strata: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return each seed's accuracy in each stratum, (S,K)."""
    n = np.bincount(strata)
    if len(n) == 1:
        whole: NDArray[np.float64] = correct.mean(axis=1, keepdims=True)
        return whole
    return np.stack([np.bincount(strata, weights=row) for row in correct]) / n


def _fill(values: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.where(known, values, values[known].mean() if known.any() else 0.0)
