"""Compute the interval of an accuracy: by bootstrap over photos or persons with several faces, else Wilson's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.evaluation.intervals import wilson
from mfer_lightning.evaluation.statistics.resample import resample_weights

#: Bootstrap resamples, as in :func:`.statistics.bootstrap.bootstrap_intervals`, so that both agree.
RESAMPLES = 2000


def hull(a: tuple[float, float] | None, b: tuple[float, float]) -> tuple[float, float]:
    """Return the shortest interval that contains two intervals.

    Example:
        >>> hull((0.9, 0.95), (0.91, 0.96)), hull(None, (0.91, 0.96))
        ((0.9, 0.96), (0.91, 0.96))
    """
    return b if a is None else (min(a[0], b[0]), max(a[1], b[1]))


def share_interval(
    right: NDArray[np.bool_], label: NDArray[np.integer], groups: NDArray[np.integer] | None = None, seed: int = 0
) -> tuple[float, float]:
    """Compute the 95% interval of the fraction of correctly predicted faces.

    If there are only a few groups and they happen to agree, the bootstrap over groups gives an interval of zero width.
    The result is therefore extended to contain Wilson's interval for the same number of independent faces.

    Args:
        right: (N,) whether each face was predicted correctly; at least one face.
        label: (N,) its class, from 0; resamples keep the class counts, or nearly so if groups contain several classes.
        groups: (N,) faces of one photo or person share a value. None, or all values different: Wilson's interval.
        seed: random seed of the bootstrap.

    Returns:
        Lower and upper bound.

    Example:
        >>> right, label = np.arange(40) % 4 > 0, np.zeros(40, dtype=int)
        >>> low, high = share_interval(right, label)
        >>> together = share_interval(right, label, groups=np.arange(40) % 4)
        >>> together[0] < low < high < together[1]
        True
    """
    own = wilson(int(right.sum()), len(right))
    if groups is None or len(np.unique(groups)) == len(groups):
        return own
    drawn = [
        (w @ right) / w.sum(axis=1) for w in resample_weights(label, groups, RESAMPLES, np.random.default_rng(seed))
    ]
    low, high = np.quantile(np.concatenate(drawn), [0.025, 0.975]).tolist()
    return hull((low, high), own)
