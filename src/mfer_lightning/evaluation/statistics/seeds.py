"""Summarise a metric over several seeds: mean, standard deviation, and the interval of the mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class SeedSummary:
    """A metric over seeds.

    Args:
        n: number of seeds.
        mean: mean over the seeds.
        spread: sample standard deviation (ddof 1); None for a single seed.
        low: lower bound of the t interval of the mean; None for a single seed.
        high: upper bound of this interval; None for a single seed.
    """

    n: int
    mean: float
    spread: float | None
    low: float | None
    high: float | None


def summarise_seeds(values: Sequence[float], confidence: float = 0.95) -> SeedSummary:
    """Summarise a metric over several seeds of one setting.

    The interval is for the mean over seeds on *these* test images: ``mean +- t * spread / sqrt(n)`` with n - 1 degrees
    of freedom. It does not cover other images; :func:`.methods.compare_methods` does.

    Args:
        values: one finite value per seed, at least one.
        confidence: nominal coverage, between 0 and 1.

    Raises:
        ValueError: if there is no value, one is not finite, or ``confidence`` is out of range.

    Example:
        >>> found = summarise_seeds([0.90, 0.91, 0.92])
        >>> found.n, round(found.mean, 3), round(found.spread, 3), round(found.low, 3), round(found.high, 3)
        (3, 0.91, 0.01, 0.885, 0.935)
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not len(x):
        raise ValueError(f"Expected argument `values` to contain at least one number, but got shape {x.shape}.")
    if not np.isfinite(x).all():
        raise ValueError(f"Expected argument `values` to be finite, but got {x[~np.isfinite(x)][0]}.")
    if not 0 < confidence < 1:
        raise ValueError(f"Expected argument `confidence` between 0 and 1, but got {confidence}.")
    mean = float(x.mean())
    if len(x) == 1:
        return SeedSummary(1, mean, None, None, None)
    spread = float(x.std(ddof=1))
    half = float(stats.t.ppf((1 + confidence) / 2, len(x) - 1)) * spread / len(x) ** 0.5
    return SeedSummary(len(x), mean, spread, mean - half, mean + half)


def interval_over_seeds_and_faces(
    values: Sequence[float], faces: Sequence[tuple[float, float]], confidence: float = 0.95
) -> tuple[float, float]:
    r"""Compute an interval of a mean over seeds that covers the variation over both seeds and test faces.

    The t interval over seeds and the interval over faces are combined like those of independent estimates (Zou and
    Donner, Statistics in Medicine 2008):

    .. math:: \bar v - \sqrt{(\bar v - \bar l)^2 + h^2}, \qquad \bar v + \sqrt{(\bar u - \bar v)^2 + h^2}

    where l and u are the mean bounds of the intervals over faces, and h is the half width of the t interval over seeds.
    The combined interval is therefore never shorter than the interval over faces, however closely the seeds agree.
    Random variation of single faces is counted in both parts, which makes the interval slightly too wide
    (docs/statistics.md).

    Args:
        values: one finite fraction per seed, at least two.
        faces: for each seed, the interval over faces.
        confidence: nominal coverage of the seed part; should equal that of ``faces``.

    Returns:
        Lower and upper bound, within [0, 1].

    Raises:
        ValueError: if there are fewer than two values, or a different number of intervals.

    Example:
        >>> low, high = interval_over_seeds_and_faces([0.9, 0.9, 0.9], [(0.85, 0.94)] * 3)
        >>> print(f"{low:.2f} to {high:.2f}")
        0.85 to 0.94
    """
    if len(values) < 2 or len(values) != len(faces):
        raise ValueError(
            f"Expected arguments `values` and `faces` to be of the same length, at least 2, but got "
            f"{len(values)} and {len(faces)}."
        )
    found = summarise_seeds(values, confidence)
    assert found.high is not None
    low, high = np.mean(np.asarray(faces, dtype=np.float64), axis=0).tolist()
    half = found.high - found.mean
    below, above = float(np.hypot(found.mean - low, half)), float(np.hypot(high - found.mean, half))
    return max(0.0, found.mean - below), min(1.0, found.mean + above)


def mean_and_spread(values: Sequence[float], unit: float = 100.0, digits: int = 2) -> str:
    """Format mean and sample standard deviation of fractions in per cent; a single value has no standard deviation.

    Example:
        >>> mean_and_spread([0.90, 0.92]), mean_and_spread([0.9]), mean_and_spread([])
        ('91.00 ± 1.41', '90.00', '–')
    """
    if not len(values):
        return "–"
    x = unit * np.asarray(values, dtype=np.float64)
    mean = f"{x.mean():.{digits}f}"
    return mean if len(x) == 1 else f"{mean} ± {x.std(ddof=1):.{digits}f}"
