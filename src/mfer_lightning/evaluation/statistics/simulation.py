"""Simulate runs with a known truth: to measure error rates of tests, and to plan how many seeds a difference needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats


@dataclass(frozen=True)
class Setting:
    """What two methods are like, and how they are compared.

    An image is got right where a standard normal draw lies below ability less difficulty. Abilities vary over seeds,
    difficulties over images, and, by ``interaction``, by method: what one finds hard the other may find easy.

    Args:
        images: in the test set, drawn anew each time.
        seeds: of method a and of method b.
        accuracy: expected share of right answers of method b.
        spread: standard deviation over seeds of a's and b's accuracy on endlessly many images, as shares; on a test set
            the seeds' accuracies spread further, by what is luck in single images.
        heterogeneity: standard deviation of the difficulties, at least 0: at 0 all images are alike, at 3 most are
            always right or always wrong.
        interaction: standard deviation of each method's own part of the difficulties, at least 0.
        difference: expected accuracy of a less that of b, as a share.
    """

    images: int = 3000
    seeds: tuple[int, int] = (3, 3)
    accuracy: float = 0.9
    spread: tuple[float, float] = (0.004, 0.004)
    heterogeneity: float = 3.0
    interaction: float = 0.5
    difference: float = 0.0


def simulate_runs(setting: Setting, rng: np.random.Generator) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Draw what the seeds of both methods get right on one test set.

    Args:
        setting: the truth.
        rng: where the randomness comes from.

    Returns:
        (seeds, images) bool of a and of b; ready for :func:`.methods.compare_methods`.
    """
    difficulty = setting.heterogeneity * rng.standard_normal(setting.images, dtype=np.float32)
    scale = _scale(setting)
    runs = []
    accuracies = (setting.accuracy + setting.difference, setting.accuracy)
    for seeds, spread, accuracy in zip(setting.seeds, setting.spread, accuracies, strict=True):
        own = difficulty + setting.interaction * rng.standard_normal(setting.images, dtype=np.float32)
        # seeds vary around the expected accuracy itself, so that the truth is exact whatever their spread
        reached = np.clip(accuracy + spread * rng.standard_normal(seeds), 1e-6, 1 - 1e-6)
        ability = (scale * stats.norm.ppf(reached)).astype(np.float32)
        luck = rng.standard_normal((seeds, setting.images), dtype=np.float32)
        runs.append(luck + own < ability[:, None])
    return runs[0], runs[1]


def expected_spread(setting: Setting) -> tuple[float, float]:
    """Give the standard deviation over seeds that the accuracies on one test set have, of a and of b.

    The seeds' own spread, and ``E[p (1 - p)] / images`` of luck, p the chance of an image to be got right.

    Example:
        >>> [round(100 * s, 2) for s in expected_spread(Setting(images=3000, spread=(0.004, 0.0)))]
        [0.51, 0.32]
    """
    scale = _scale(setting)
    found = []
    for spread, accuracy in zip(setting.spread, (setting.accuracy + setting.difference, setting.accuracy), strict=True):
        shift = scale * stats.norm.ppf(accuracy)
        # over images p = Phi(shift - difficulty): on a fine grid of quantiles of the difficulty
        levels = (np.arange(4000) + 0.5) / 4000
        p = stats.norm.cdf(shift - stats.norm.ppf(levels) * np.sqrt(scale**2 - 1))
        found.append(float(np.sqrt(spread**2 + (p * (1 - p)).mean() / setting.images)))
    return found[0], found[1]


def _scale(setting: Setting) -> float:
    return float(np.sqrt(1 + setting.heterogeneity**2 + setting.interaction**2))
