"""Compare two *methods* by several seeds of each on one set of images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq

from mfer_lightning.evaluation.statistics.variance_components import (
    effective_degrees_of_freedom,
    seed_figures,
    variance_components,
)
from mfer_lightning.plurals import counted

Verdict = Literal["better", "worse", "tie", "undecided"]
MethodMetric = Literal["accuracy", "mean_class_accuracy"]

#: With fewer seeds on either side, the variation over seeds is unknown, and the verdict is "undecided".
MIN_SEEDS = 3
#: Power for ``smallest_detectable``.
POWER = 0.8


@dataclass(frozen=True)
class MethodComparison:
    """Comparison of methods a and b. Differences are a minus b, as fractions (0.01 is one point).

    Args:
        difference: mean over a's seeds minus mean over b's.
        low: lower bound of the interval of the difference; None if undecided, or if all seeds and images agree.
        high: upper bound of this interval; None in the same cases.
        p_value: two-sided p-value of the hypothesis of no difference; None if undecided.
        seeds_a: number of a's seeds.
        seeds_b: number of b's seeds.
        degrees_of_freedom: effective degrees of freedom of the test's t distribution; None if undecided.
        smallest_detectable: smallest true difference that would be found with 80% power, given this test set and these
            seeds; None without an interval. In a family of M comparisons, the level is divided by M, which is the
            strictest level in Holm's procedure.
        verdict: "better" (a above b), "worse", "tie" (no difference was found; see ``smallest_detectable``) or
            "undecided" (fewer than 3 seeds on either side).
        name: name of a, if the comparison was made by :func:`.multiple.compare_against_baseline` or
            :func:`.multiple.compare_contrasts`.
        baseline: name of b, in the same cases.
        adjusted_p_value: p-value corrected for the number of comparisons, in the same cases; then used for ``verdict``.
    """

    difference: float
    low: float | None
    high: float | None
    p_value: float | None
    seeds_a: int
    seeds_b: int
    degrees_of_freedom: float | None
    smallest_detectable: float | None
    verdict: Verdict
    name: str | None = None
    baseline: str | None = None
    adjusted_p_value: float | None = None


def compare_methods(
    correct_a: NDArray[np.bool_],
    correct_b: NDArray[np.bool_],
    labels: NDArray[np.integer] | None = None,
    metric: MethodMetric = "accuracy",
    confidence: float = 0.95,
) -> MethodComparison:
    """Compare two methods by the correctness of several seeds of each on the same images.

    Args:
        correct_a: (seeds, images) bool, whether each seed of method a is correct.
        correct_b: (seeds, images) bool, the same for method b; images in the same order.
        labels: (images,) true classes; required for ``mean_class_accuracy``.
        metric: ``"accuracy"`` or ``"mean_class_accuracy"``.
        confidence: coverage of the interval; the verdict tests at level 1 - confidence.

    Returns:
        The comparison, a against b.

    Raises:
        ValueError: if shapes disagree or an argument is not legal.
    """
    a, b, strata = _checked(correct_a, correct_b, labels, metric, confidence)
    seeds_a, seeds_b = len(a), len(b)
    difference = float(seed_figures(a, strata).mean() - seed_figures(b, strata).mean())
    if min(seeds_a, seeds_b) < MIN_SEEDS:
        return MethodComparison(difference, None, None, None, seeds_a, seeds_b, None, None, "undecided")
    components = variance_components(a, b, strata)
    freedom = effective_degrees_of_freedom(components, seeds_a, seeds_b)
    error = components.total**0.5
    critical = float(stats.t.isf((1 - confidence) / 2, freedom))
    if error < 1e-9:  # all seeds and images agree: there is no interval
        p_value = float(difference == 0)
        verdict = verdict_of(difference, p_value, confidence)
        return MethodComparison(difference, None, None, p_value, seeds_a, seeds_b, freedom, None, verdict)
    p_value = float(2 * stats.t.sf(abs(difference) / error, freedom))
    return MethodComparison(
        difference=difference,
        low=difference - critical * error,
        high=difference + critical * error,
        p_value=p_value,
        seeds_a=seeds_a,
        seeds_b=seeds_b,
        degrees_of_freedom=freedom,
        smallest_detectable=noncentrality(float(f"{freedom:.3g}"), confidence) * error,
        verdict=verdict_of(difference, p_value, confidence),
    )


def verdict_of(difference: float, p_value: float, confidence: float) -> Verdict:
    """Return the verdict for a difference with its (adjusted) p-value."""
    if p_value < 1 - confidence:
        return "better" if difference > 0 else "worse"
    return "tie"


def detectable_among(comparison: MethodComparison, family: int, confidence: float) -> float | None:
    """Compute ``smallest_detectable`` of a comparison in a family, corrected for the number of comparisons.

    Args:
        comparison: a single comparison, with the same confidence.
        family: number of comparisons, at least 1.
        confidence: confidence of the whole family.

    Returns:
        The difference; None if the comparison has no interval.
    """
    freedom = comparison.degrees_of_freedom
    if freedom is None or comparison.low is None or comparison.high is None:
        return None
    error = (comparison.high - comparison.low) / 2 / float(stats.t.isf((1 - confidence) / 2, freedom))
    return noncentrality(float(f"{freedom:.3g}"), 1 - (1 - confidence) / family) * error


@lru_cache(maxsize=4096)
def noncentrality(freedom: float, confidence: float) -> float:
    """Compute the true difference, in standard errors, that the two-sided t test finds with 80% power.

    Args:
        freedom: degrees of freedom of the t distribution.
        confidence: 1 minus the level of the test.
    """
    critical = stats.t.isf((1 - confidence) / 2, freedom)

    def lacking(shift: float) -> float:
        # the other tail adds nothing to a power of 80%
        return float(stats.nct.sf(critical, freedom, shift)) - POWER

    # the solution for a shifted t; nct fails far away from it if there are few degrees of freedom
    start = float(critical + stats.t.ppf(POWER, freedom))
    return float(brentq(lacking, 0.2 * start, 2 * start, xtol=1e-4))


def _checked(
    correct_a: NDArray[np.bool_],
    correct_b: NDArray[np.bool_],
    labels: NDArray[np.integer] | None,
    metric: str,
    confidence: float,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int64]]:
    """Check the arguments; return both correctness tables and the strata, over which the metric is averaged."""
    a, b = np.asarray(correct_a), np.asarray(correct_b)
    for name, x in (("correct_a", a), ("correct_b", b)):
        if x.ndim != 2 or 0 in x.shape or x.dtype != np.bool_:
            raise ValueError(
                f"Expected argument `{name}` to be bool of shape (seeds, images), but got {x.dtype} of {x.shape}."
            )
    n = a.shape[1]
    if b.shape[1] != n:
        raise ValueError(
            f"Expected argument `correct_b` to contain the {counted(n, 'image')} of a, but got {b.shape[1]}."
        )
    if n < 2:
        raise ValueError("Expected arguments `correct_a` and `correct_b` to contain at least 2 images, but got 1.")
    if not 0 < confidence < 1:
        raise ValueError(f"Expected argument `confidence` between 0 and 1, but got {confidence}.")
    if metric == "accuracy":
        return a, b, np.zeros(n, dtype=np.int64)
    if metric != "mean_class_accuracy":
        raise ValueError(f"Expected argument `metric` to be accuracy or mean_class_accuracy, but got {metric!r}.")
    if labels is None or np.shape(labels) != (n,):
        shape = None if labels is None else np.shape(labels)
        raise ValueError(f"Expected argument `labels` of shape ({n},) for mean_class_accuracy, but got {shape}.")
    _, strata = np.unique(np.asarray(labels), return_inverse=True)
    return a, b, strata.reshape(-1).astype(np.int64)
