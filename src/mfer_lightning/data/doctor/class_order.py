"""Detect a copy whose classes are numbered in another order than expected, by their counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

#: A permutation is suspected where it explains the counts at least this many times better than the order itself.
TIMES_BETTER = 5.0


def suspect_order(found: Sequence[int], expected: Sequence[int]) -> list[int] | None:
    """Find a permutation of the classes that explains their counts far better than their order.

    Args:
        found: faces of each class in the copy.
        expected: faces of each class in a whole one.

    Returns:
        For each class the one that its faces seem to be; None if the order is right, or nothing can be said.

    Example:
        >>> suspect_order([100, 30, 60], [30, 100, 60])
        [1, 0, 2]
        >>> suspect_order([29, 99, 60], [30, 100, 60]) is None
        True
    """
    have, want = np.asarray(found, dtype=float), np.asarray(expected, dtype=float)
    if have.sum() < 50 * len(have) or want.sum() == 0:
        return None
    have, want = have / have.sum(), want / want.sum()
    cost = np.abs(have[:, None] - want[None, :])
    _, best = linear_sum_assignment(cost)
    own = float(np.abs(have - want).sum())
    permuted = float(cost[np.arange(len(have)), best].sum())
    if own < 0.05 or own < TIMES_BETTER * permuted or (best == np.arange(len(have))).all():
        return None
    return [int(k) for k in best]
