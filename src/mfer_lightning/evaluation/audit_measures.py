"""Evaluate a ranked list of suspected label errors against true labels: precision at k, recall, and their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.evaluation.intervals import wilson

#: Values of k for precision at k.
LENGTHS = (10, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
#: Precision at which recall is reported.
PRECISION = 0.8


def measure_ranking(
    wrong: NDArray[np.bool_], listed: int, lengths: Sequence[int] = LENGTHS, precision: float = PRECISION
) -> dict[str, Any]:
    """Measure how well a ranking finds wrong labels.

    Args:
        wrong: (N,) whether the label of each face is wrong, the most suspect face first.
        listed: how many faces from the start of the ranking are on the list, at least 0.
        lengths: values of k for precision at k; those above N are skipped.
        precision: precision at which recall is reported, within (0, 1].

    Returns:
        ``wrong`` and ``faces``, counts; ``listed``: precision and recall of the list; ``precision_at``: precision of
        the first k; ``at_precision``: recall of the longest prefix of the whole ranking with at least this precision
        (the best possible cut, which needs the true labels). Each proportion is a mapping with ``value``, ``low``,
        ``high`` (95%, Wilson), ``right`` and ``of`` (its counts); None if it is undefined.

    Raises:
        ValueError: if ``listed`` is out of range.

    Example:
        >>> found = measure_ranking(np.array([True, True, False, True, False]), 3, lengths=(2,))
        >>> found["listed"]["recall"]["value"], found["precision_at"][0]["value"], found["at_precision"]["k"]
        (0.6666666666666666, 1.0, 2)
    """
    n = len(wrong)
    if not 0 <= listed <= n:
        raise ValueError(f"Expected argument `listed` within [0, {n}], but got {listed}.")
    hits = np.concatenate([[0], np.cumsum(wrong)])
    total = int(hits[-1])
    enough = np.flatnonzero(hits[1:] >= precision * np.arange(1, n + 1) - 1e-9) + 1
    cut = int(enough[-1]) if len(enough) else 0
    return {
        "faces": n,
        "wrong": total,
        "listed": {"k": listed, "precision": _share(hits[listed], listed), "recall": _share(hits[listed], total)},
        "precision_at": [{"k": k, **(_share(hits[k], k) or {})} for k in lengths if k <= n],
        "at_precision": {"precision": precision, "k": cut, "recall": _share(hits[cut], total)},
    }


def _share(right: int, of: int) -> dict[str, Any] | None:
    if of == 0:
        return None
    low, high = wilson(int(right), of)
    return {"value": float(right / of), "low": low, "high": high, "right": int(right), "of": int(of)}
