"""Simulate runs with known truth, to measure error rates of tests and to plan the number of seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats


@dataclass(frozen=True)
class Setting:
    """Properties of two methods, and how they are compared.

    An image is classified correctly if a standard normal draw is below ability minus difficulty. Abilities vary over
    seeds, difficulties over images and, with ``interaction``, by method: an image that is hard for one may be easy for
    the other.

    Args:
        images: number of images in the test set, drawn again each time.
        seeds: number of seeds of method a and of method b.
        accuracy: expected accuracy of method b.
        spread: standard deviation over seeds of a's and b's accuracy on infinitely many images, as fractions; on a test
            set, random variation of single images increases it.
        heterogeneity: standard deviation of the part of the difficulties that both methods share, at least 0. If this
            and ``interaction`` are 0, all images are equally difficult; at 3, most are always correct or always wrong.
        interaction: standard deviation of the method-specific part of the difficulties, at least 0.
        difference: expected accuracy of a minus that of b, as a fraction.
    """

    images: int = 3000
    seeds: tuple[int, int] = (3, 3)
    accuracy: float = 0.9
    spread: tuple[float, float] = (0.004, 0.004)
    heterogeneity: float = 3.0
    interaction: float = 0.5
    difference: float = 0.0


def simulate_runs(setting: Setting, rng: np.random.Generator) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Simulate the correctness of the seeds of both methods on one test set.

    Args:
        setting: the true properties.
        rng: random generator.

    Returns:
        (seeds, images) bool for a and for b; input of :func:`.methods.compare_methods`.
    """
    difficulty = setting.heterogeneity * rng.standard_normal(setting.images, dtype=np.float32)
    scale = _scale(setting)
    runs = []
    accuracies = (setting.accuracy + setting.difference, setting.accuracy)
    for seeds, spread, accuracy in zip(setting.seeds, setting.spread, accuracies, strict=True):
        own = difficulty + setting.interaction * rng.standard_normal(setting.images, dtype=np.float32)
        # draw accuracies, not abilities, around the expected value, so that their mean is exact for any spread
        reached = np.clip(accuracy + spread * rng.standard_normal(seeds), 1e-6, 1 - 1e-6)
        ability = (scale * stats.norm.ppf(reached)).astype(np.float32)
        luck = rng.standard_normal((seeds, setting.images), dtype=np.float32)
        runs.append(luck + own < ability[:, None])
    return runs[0], runs[1]


def expected_spread(setting: Setting) -> tuple[float, float]:
    """Compute the standard deviation over seeds of the accuracies on one test set, for a and for b.

    The variance is the sum of the variance over seeds and ``E[p (1 - p)] / images``, with p the probability of a
    correct prediction.

    Example:
        >>> [round(100 * s, 2) for s in expected_spread(Setting(images=3000, spread=(0.004, 0.0)))]
        [0.51, 0.32]
    """
    scale = _scale(setting)
    found = []
    for spread, accuracy in zip(setting.spread, (setting.accuracy + setting.difference, setting.accuracy), strict=True):
        shift = scale * stats.norm.ppf(accuracy)
        # p = Phi(shift - difficulty), averaged over images on a fine grid of quantiles of the difficulty
        levels = (np.arange(4000) + 0.5) / 4000
        p = stats.norm.cdf(shift - stats.norm.ppf(levels) * np.sqrt(scale**2 - 1))
        found.append(float(np.sqrt(spread**2 + (p * (1 - p)).mean() / setting.images)))
    return found[0], found[1]


def _scale(setting: Setting) -> float:
    return float(np.sqrt(1 + setting.heterogeneity**2 + setting.interaction**2))
