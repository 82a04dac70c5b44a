"""Draw resamples of a test set with fixed class counts: counts alone if they suffice for a metric, otherwise faces."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

#: Number of faces, or groups of faces, times resamples drawn at once.
_BLOCK = 2_000_000


def resample_cells(
    cells: NDArray[np.integer], strata: NDArray[np.integer], resamples: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw the frequency of each outcome when faces are resampled within strata.

    Drawing n faces with replacement and counting their outcomes is one multinomial draw, so the cost does not depend on
    the number of faces.

    Args:
        cells: (S,C) number of faces per stratum and outcome.
        strata: (S,) number of faces per stratum: the row sums of ``cells``.
        resamples: number of resamples R.
        rng: random generator.

    Returns:
        (R,S,C) counts; those of a stratum sum to its number of faces.
    """
    drawn = np.zeros((resamples, *cells.shape), dtype=np.int64)
    for s, n in enumerate(strata):
        if n:
            drawn[:, s] = rng.multinomial(int(n), cells[s] / n, size=resamples)
    return drawn


def resample_weights(
    strata: NDArray[np.integer], groups: NDArray[np.integer] | None, resamples: int, rng: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    """Draw the frequency of each face when faces, or groups of faces, are resampled within their strata.

    Args:
        strata: (N,) the stratum of each face, from 0.
        groups: (N,) faces that share a value are drawn together, or None. A group with faces in several strata is
            drawn in the stratum of most of its faces; the class counts of resamples then vary slightly.
        resamples: number of resamples R.
        rng: random generator.

    Yields:
        Blocks of weights (r,N); the sum of r over all blocks is R.
    """
    if groups is None:
        unit, home = np.arange(len(strata)), np.asarray(strata)
    else:
        _, unit = np.unique(groups, return_inverse=True)
        votes = np.zeros((unit.max() + 1, int(np.max(strata)) + 1), dtype=np.int64)
        np.add.at(votes, (unit, strata), 1)
        home = votes.argmax(axis=1)
    order = np.argsort(home, kind="stable")
    sizes = np.bincount(home)
    starts = np.cumsum(sizes) - sizes
    units, block = len(home), max(1, _BLOCK // len(home))
    # position p of a resample draws from the stratum that contains p
    low, span = np.repeat(starts, sizes), np.repeat(sizes, sizes)
    for first in range(0, resamples, block):
        r = min(block, resamples - first)
        drawn = low + (rng.random((r, units), dtype=np.float32) * span).astype(np.int64)
        np.minimum(drawn, low + span - 1, out=drawn)  # a safeguard; the float64 product is below the span
        drawn += np.arange(r)[:, None] * units
        sorted_weights = np.bincount(drawn.ravel(), minlength=r * units).reshape(r, units)
        weights = np.empty((r, units))
        weights[:, order] = sorted_weights
        yield weights if groups is None else weights[:, unit]
