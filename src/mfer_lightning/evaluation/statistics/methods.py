"""Are two *methods* different? What several seeds of each say, on one set of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Verdict = Literal["better", "worse", "tie", "undecided"]
MethodMetric = Literal["accuracy", "mean_class_accuracy"]

#: With fewer seeds on either side, nothing is known about the spread over seeds, and the verdict is "undecided".
MIN_SEEDS = 3
#: The power that ``smallest_detectable`` is given for.
POWER = 0.8


@dataclass(frozen=True)
class MethodComparison:
    """Method a against method b. Differences are a minus b, as shares (0.01 is one point).

    Args:
        difference: mean over a's seeds less mean over b's.
        low: lower end of the interval of the difference; None where undecided.
        high: its upper end; None where undecided.
        p_value: two-sided, of no difference; None where undecided.
        seeds_a: number of a's seeds.
        seeds_b: number of b's seeds.
        degrees_of_freedom: effective, of the t distribution that the test uses; None where undecided.
        smallest_detectable: smallest true difference that would have been found with 80% power, given this test set and
            these seeds; None where undecided.
        verdict: "better" (a above b), "worse", "tie" (no difference could be shown: read it beside
            ``smallest_detectable``) or "undecided" (fewer than 3 seeds on either side).
        name: what a is called, where the comparison was made by :func:`.multiple.compare_against_baseline`.
        baseline: what b is called, likewise.
        adjusted_p_value: Holm-adjusted over the family of comparisons, likewise; then ``verdict`` goes by it.
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
    """Compare two methods by what several seeds of each got right on the same images.

    Args:
        correct_a: (seeds, images) bool, what each seed of method a got right.
        correct_b: (seeds, images) bool, likewise of method b; images in the same order.
        labels: (images,) the true classes; needed for ``mean_class_accuracy``.
        metric: ``"accuracy"`` or ``"mean_class_accuracy"``.
        confidence: coverage of the interval; the verdict tests at 1 - confidence.

    Returns:
        The comparison, a against b.

    Raises:
        ValueError: where shapes disagree or an argument is not legal.
    """
    a, b, weights = _checked(correct_a, correct_b, labels, metric, confidence)
    seeds_a, seeds_b = len(a), len(b)
    difference = float((a @ weights).mean() - (b @ weights).mean())
    if min(seeds_a, seeds_b) < MIN_SEEDS:
        return MethodComparison(difference, None, None, None, seeds_a, seeds_b, None, None, "undecided")
    error, freedom = _standard_error(a, b, weights)
    critical = float(stats.t.isf((1 - confidence) / 2, freedom))
    p_value = float(2 * stats.t.sf(abs(difference) / error, freedom)) if error > 0 else float(difference == 0)
    verdict: Verdict = "tie"
    if p_value < 1 - confidence:
        verdict = "better" if difference > 0 else "worse"
    return MethodComparison(
        difference=difference,
        low=difference - critical * error,
        high=difference + critical * error,
        p_value=p_value,
        seeds_a=seeds_a,
        seeds_b=seeds_b,
        degrees_of_freedom=freedom,
        smallest_detectable=(critical + float(stats.t.ppf(POWER, freedom))) * error,
        verdict=verdict,
    )


def _standard_error(
    a: NDArray[np.float64], b: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[float, float]:
    """Give the standard error of the difference and its effective degrees of freedom."""
    parts: list[float] = []
    residual = 0.0
    for x in (a, b):
        seeds = len(x)
        parts.append(float((x @ weights).var(ddof=1)) / seeds)
        within = x - x.mean(axis=0)
        within -= within.mean(axis=1, keepdims=True)
        residual += float((within**2).sum(axis=0) @ weights**2) / (seeds - 1) / seeds
    d = a.mean(axis=0) - b.mean(axis=0)
    centred = d - d @ weights
    image = max(0.0, float(centred**2 @ weights**2) - residual)
    total = parts[0] + parts[1] + image
    below = parts[0] ** 2 / (len(a) - 1) + parts[1] ** 2 / (len(b) - 1) + image**2 / (len(d) - 1)
    return total**0.5, total**2 / below if below > 0 else float(len(d) - 1)


def _checked(
    correct_a: NDArray[np.bool_],
    correct_b: NDArray[np.bool_],
    labels: NDArray[np.integer] | None,
    metric: str,
    confidence: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    a, b = np.asarray(correct_a, dtype=np.float64), np.asarray(correct_b, dtype=np.float64)
    for name, x in (("correct_a", a), ("correct_b", b)):
        if x.ndim != 2 or 0 in x.shape:
            raise ValueError(f"Expected argument `{name}` to be of shape (seeds, images), but got {x.shape}.")
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"Expected argument `correct_b` to hold the {a.shape[1]} images of `correct_a`, but got {b.shape[1]}."
        )
    if not 0 < confidence < 1:
        raise ValueError(f"Expected argument `confidence` between 0 and 1, but got {confidence}.")
    n = a.shape[1]
    if metric == "accuracy":
        return a, b, np.full(n, 1 / n)
    if metric != "mean_class_accuracy":
        raise ValueError(f"Expected argument `metric` to be accuracy or mean_class_accuracy, but got {metric!r}.")
    if labels is None or np.shape(labels) != (n,):
        raise ValueError(f"Expected argument `labels` of shape ({n},) for mean_class_accuracy.")
    _, place, count = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
    return a, b, 1 / (len(count) * count[place])
