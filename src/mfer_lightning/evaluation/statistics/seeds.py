"""Summarise a figure over several seeds: mean, spread, and the interval of the mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class SeedSummary:
    """A figure over seeds.

    Args:
        n: number of seeds.
        mean: their mean.
        spread: sample standard deviation (ddof 1); None for a single seed.
        low: lower end of the t interval of the mean; None for a single seed.
        high: its upper end; None for a single seed.
    """

    n: int
    mean: float
    spread: float | None
    low: float | None
    high: float | None


def summarise_seeds(values: Sequence[float], confidence: float = 0.95) -> SeedSummary:
    """Summarise a figure that several seeds of one setting gave.

    The interval is for the mean over seeds on *these* test images: ``mean +- t * spread / sqrt(n)`` with n - 1 degrees
    of freedom. It says nothing about other images; see :func:`.methods.compare_methods` for what does.

    Args:
        values: one finite figure a seed, at least one.
        confidence: the coverage that is meant, between 0 and 1.

    Raises:
        ValueError: where there is no value, one is not finite, or ``confidence`` lies outside its range.

    Example:
        >>> found = summarise_seeds([0.90, 0.91, 0.92])
        >>> found.n, round(found.mean, 3), round(found.spread, 3), round(found.low, 3), round(found.high, 3)
        (3, 0.91, 0.01, 0.885, 0.935)
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not len(x):
        raise ValueError(f"Expected argument `values` to hold at least one number, but got shape {x.shape}.")
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


def mean_and_spread(values: Sequence[float], unit: float = 100.0, digits: int = 2) -> str:
    """Write mean and sample standard deviation, of shares in per cent; one value has no spread.

    Example:
        >>> mean_and_spread([0.90, 0.92]), mean_and_spread([0.9]), mean_and_spread([])
        ('91.00 ± 1.41', '90.00', '–')
    """
    if not len(values):
        return "–"
    x = unit * np.asarray(values, dtype=np.float64)
    mean = f"{x.mean():.{digits}f}"
    return mean if len(x) == 1 else f"{mean} ± {x.std(ddof=1):.{digits}f}"
