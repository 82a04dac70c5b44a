"""Compare two *checkpoints*: two fixed networks on the same images.

The exact McNemar test is SciPy's binomial test. Its mid-p value, which SciPy does not provide, is computed from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.statistics.bootstrap import paired_difference_interval
from mfer_lightning.evaluation.statistics.pairing import same_images


@dataclass(frozen=True)
class CheckpointComparison:
    """Comparison of checkpoints a and b on the same images. It does not compare the methods that produced them.

    Args:
        n: number of images.
        only_a: number of images that only a classifies correctly.
        only_b: number of images that only b classifies correctly.
        difference: a's accuracy minus b's, as a fraction.
        low: lower bound of the paired bootstrap interval of the difference.
        high: upper bound of this interval.
        p_exact: McNemar's exact two-sided p-value; conservative.
        p_mid: McNemar's mid-p value, used for the verdict.
        verdict: "better" (a above b), "worse" or "tie".
    """

    n: int
    only_a: int
    only_b: int
    difference: float
    low: float
    high: float
    p_exact: float
    p_mid: float
    verdict: Literal["better", "worse", "tie"]


def mcnemar(only_a: int, only_b: int) -> tuple[float, float]:
    """Compute McNemar's two-sided exact p-value and mid-p value.

    Both use only the numbers of images that one model classifies correctly and the other does not. Under the null
    hypothesis, each of the two models is the correct one on such an image with probability 1/2. The mid-p value counts
    half the probability of the observed outcome (Fagerland, Lydersen and Laake, BMC Medical Research Methodology 2013).

    Example:
        >>> [round(p, 4) for p in mcnemar(1, 5)]
        [0.2188, 0.125]
    """
    if only_a < 0 or only_b < 0:
        raise ValueError(f"Expected arguments `only_a` and `only_b` to be at least 0, but got {only_a} and {only_b}.")
    n, smaller = only_a + only_b, min(only_a, only_b)
    if n == 0:
        return 1.0, 1.0
    exact = float(stats.binomtest(smaller, n).pvalue)
    outcome = float(stats.binom.pmf(smaller, n, 0.5))
    return exact, exact - outcome / (2 if only_a == only_b else 1)  # a tie is in both tails


def compare_checkpoints(
    a: Predictions, b: Predictions, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> CheckpointComparison:
    """Compare two checkpoints on the same images: McNemar's test and a paired bootstrap of the accuracy difference.

    Args:
        a: predictions of the first checkpoint.
        b: predictions of the second checkpoint; the same images with the same labels, in any order.
        confidence: coverage of the interval; the verdict tests at level 1 - confidence.
        resamples: bootstrap resamples, at least 1.
        seed: random seed of the bootstrap.

    Raises:
        ValueError: if the images or labels differ, or an argument is not legal.
    """
    first, second = same_images([a, b])
    right_a, right_b = first.pred == first.label, second.pred == second.label
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    low, high = paired_difference_interval(right_a, right_b, first.label, confidence, resamples, seed)
    p_exact, p_mid = mcnemar(only_a, only_b)
    verdict: Literal["better", "worse", "tie"] = "tie"
    if p_mid < 1 - confidence:
        verdict = "better" if only_a > only_b else "worse"
    difference = float(np.mean(right_a) - np.mean(right_b))
    return CheckpointComparison(len(first), only_a, only_b, difference, low, high, p_exact, p_mid, verdict)
