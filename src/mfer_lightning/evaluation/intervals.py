"""Confidence intervals of proportions."""

from __future__ import annotations

from scipy.stats import binomtest


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Give Wilson's score interval of a proportion, without continuity correction.

    It holds its coverage for proportions near 0 and 1 and for small classes, where the usual p +- z s does not
    (Wilson 1927; Brown, Cai and DasGupta 2001).

    Args:
        successes: how many of the n, 0 to n.
        n: how many in all, at least 1.
        confidence: the coverage that is meant, between 0 and 1.

    Returns:
        Lower and upper end, within [0, 1].

    Raises:
        ValueError: where an argument lies outside its range.

    Example:
        >>> low, high = wilson(90, 100)
        >>> print(f"{low:.4f} to {high:.4f}")
        0.8256 to 0.9448
    """
    if n < 1:
        raise ValueError(f"Expected argument `n` to be at least 1, but got {n}.")
    if not 0 <= successes <= n:
        raise ValueError(f"Expected argument `successes` within [0, {n}], but got {successes}.")
    if not 0 < confidence < 1:
        raise ValueError(f"Expected argument `confidence` between 0 and 1, but got {confidence}.")
    interval = binomtest(int(successes), int(n)).proportion_ci(confidence_level=confidence, method="wilson")
    return float(interval.low), float(interval.high)
