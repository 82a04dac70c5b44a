"""Give the interval of an accuracy: over photos or persons where several faces share one, else Wilson's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.evaluation.intervals import wilson
from mfer_lightning.evaluation.statistics.resample import resample_weights

#: Draws of the bootstrap; those of :func:`.statistics.bootstrap.bootstrap_intervals`, so that both agree.
RESAMPLES = 2000


def hull(a: tuple[float, float] | None, b: tuple[float, float]) -> tuple[float, float]:
    """Join two intervals of one figure to the shortest that holds both.

    Example:
        >>> hull((0.9, 0.95), (0.91, 0.96)), hull(None, (0.91, 0.96))
        ((0.9, 0.96), (0.91, 0.96))
    """
    return b if a is None else (min(a[0], b[0]), max(a[1], b[1]))


def share_interval(
    right: NDArray[np.bool_], label: NDArray[np.integer], groups: NDArray[np.integer] | None = None, seed: int = 0
) -> tuple[float, float]:
    """Give the 95% interval of the share of faces that were predicted rightly.

    The bootstrap over groups is never taken to say more than as many faces by themselves would: few groups that happen
    to agree would give an interval of no width. So both its ends are at least as far out as Wilson's.

    Args:
        right: (N,) whether each face was predicted rightly; at least one.
        label: (N,) its class, from 0; a resample keeps the counts of classes.
        groups: (N,) faces that share a value are of one photo or person; None, or all different: Wilson's interval.
        seed: of the bootstrap.

    Returns:
        Lower and upper end.

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
