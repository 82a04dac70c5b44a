"""Detect an unexpected class order in a copy of a dataset, from its class counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

#: A permutation is reported if it reduces the total deviation from the expected counts by at least this factor.
TIMES_BETTER = 5.0


def suspect_order(found: Sequence[int], expected: Sequence[int]) -> list[int] | None:
    """Find a permutation of the classes that explains their counts far better than the expected order.

    Args:
        found: number of faces per class in the copy.
        expected: number of faces per class in a complete copy.

    Returns:
        For each class, the class that its faces seem to belong to; None if the order is correct or undetermined.

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
