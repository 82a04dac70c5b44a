"""Join the predictions of all folds of a cross-validation, with intervals based on folds instead of faces.

Faces of one subject are not independent draws, and faces of one fold share a network. All faces of a subject are in one
fold, so folds are the units. An interval is computed from the change of a metric when one fold is left out (the
delete-one jackknife; Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 11), with Student's t
distribution with F - 1 degrees of freedom. The training sets of the folds overlap, so folds are not fully independent
either, and no unbiased estimate of the variance exists (Bengio and Grandvalet, JMLR 2004).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from mfer_lightning.evaluation.metrics import evaluate
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.schema import METRICS

#: Metrics that are not proportions. Their intervals are not clipped at 1; that of ``cohen_kappa`` is not clipped at 0
#: either.
_NO_UPPER_END = ("nll", "brier", "cohen_kappa")


def join_predictions(folds: Sequence[Predictions]) -> Predictions:
    """Join the tables of all folds into one, in index order.

    Raises:
        ValueError: if there are fewer than two tables, or a face is in two folds.
    """
    if len(folds) < 2:
        raise ValueError(f"Expected argument `folds` to contain at least two tables, but got {len(folds)}.")
    joined = Predictions.merge(folds)
    if len(joined) != sum(map(len, folds)):
        raise ValueError("Expected argument `folds` to test every face once, but some faces are in two folds.")
    return joined


def fold_intervals(folds: Sequence[Predictions], confidence: float = 0.95) -> dict[str, list[float] | None]:
    """Compute the interval of each metric over the joined folds.

    Args:
        folds: the table of each fold; every face is in exactly one fold.
        confidence: nominal coverage, between 0 and 1.

    Returns:
        metric -> [low, high], None if the metric is undefined for the joined folds, or when any one fold is left out.

    Raises:
        ValueError: as for :func:`join_predictions`, or if ``confidence`` is out of range.

    Example:
        >>> def table(first, right):
        ...     logits = [[1, 0]] * right + [[0, 1]] * (10 - right)
        ...     return Predictions(range(first, first + 10), [str(first + i) for i in range(10)], [0] * 10, logits,
        ...                        ("anger", "fear"))
        >>> [round(end, 3) for end in fold_intervals([table(0, 8), table(10, 9), table(20, 10)])["accuracy"]]
        [0.652, 1.0]
    """
    if not 0 < confidence < 1:
        raise ValueError(f"Expected argument `confidence` between 0 and 1, but got {confidence}.")
    whole = evaluate(join_predictions(folds))["metrics"]
    without = [
        evaluate(Predictions.merge([table for other, table in enumerate(folds) if other != fold]))["metrics"]
        for fold in range(len(folds))
    ]
    reach = float(stats.t.ppf((1 + confidence) / 2, len(folds) - 1))
    found: dict[str, list[float] | None] = {}
    for name in METRICS:
        value, moved = whole[name], [figures[name] for figures in without]
        if value is None or any(one is None for one in moved):
            found[name] = None
            continue
        left_out = np.array(moved, dtype=np.float64)
        half = reach * float(np.sqrt((len(folds) - 1) * left_out.var()))
        low = value - half if name == "cohen_kappa" else max(0.0, value - half)
        found[name] = [low, value + half if name in _NO_UPPER_END else min(1.0, value + half)]
    return found
