"""Round the logits of a prediction table to make it small, with its metrics unchanged within a tolerance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.evaluation.face_metrics import annotators
from mfer_lightning.evaluation.metrics import evaluate
from mfer_lightning.evaluation.predictions import Predictions

#: Logits are rounded to multiples of the first of these steps that leaves all metrics unchanged within their
#: tolerances. If there is no such step, they are not rounded.
STEPS = (0.05, 0.01, 0.001)
#: Maximum change of a metric that depends on all logits.
TOLERANCE = 1e-3
#: Metrics that depend only on the two largest logits and the label. They may change only by rounding errors.
_EXACT = ("accuracy", "mean_class_accuracy", "macro_f1", "weighted_f1", "top2_accuracy", "cohen_kappa")
_SAME = 1e-9


def round_predictions(table: Predictions, figures: Mapping[str, float | None]) -> Predictions:
    """Round the logits of a table as far as its metrics allow.

    The two most likely classes of every face do not change, and neither do metrics that count correct predictions. Soft
    targets are dropped if no metric needs them: if there are votes, or if they only repeat the label.

    Args:
        table: a complete table.
        figures: its metrics (``result.json``), which the rounded table must reproduce.

    Returns:
        The same faces with rounded logits.

    Raises:
        ValueError: if even the original table does not give these metrics. The message is phrased to follow the name
            of the run's folder.

    Example:
        >>> table = Predictions([0], ["a.png"], [1], [[0.3123, 1.0271]], ("anger", "fear"))
        >>> round_predictions(table, {"accuracy": 1.0}).logits.tolist()
        [[0.30000001192092896, 1.0499999523162842]]
    """
    lean = table
    if table.votes is not None or (table.target is not None and annotators(table, []) is None):
        lean = replace(table, target=None)
    for step in STEPS:
        short = replace(lean, logits=round_logits(table.logits, step))
        if not _changed_figures(short, figures):
            return short
    changed = _changed_figures(lean, figures)
    if changed:
        raise ValueError(f"has metrics that do not follow from its predictions ({', '.join(changed)})")
    return lean


def round_logits(logits: NDArray[np.float32], step: float) -> NDArray[np.float32]:
    """Round to multiples of a step, with finer steps in rows whose two most likely classes would change.

    Args:
        logits: (N,K) float32.
        step: the coarsest step. Rows whose two most likely classes would change or swap use a tenth or a hundredth of
            it, or are not rounded.

    Returns:
        (N,K) float32.

    Example:
        >>> round_logits(np.float32([[1.01, 1.02, -3.0]]), 0.05).round(3).tolist()
        [[1.0099999904632568, 1.0199999809265137, -3.0]]
    """
    first = _first_two(logits)
    rounded: NDArray[np.float32] = logits.copy()
    left = np.ones(len(logits), dtype=bool)
    for finer in (step, step / 10, step / 100):
        tried = np.round(logits.astype(np.float64) / finer) * finer + 0.0  # avoids -0.0
        fits = left & (_first_two(tried.astype(np.float32)) == first).all(axis=1)
        rounded[fits] = tried[fits]
        left &= ~fits
    return rounded


def _first_two(logits: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the classes of the two largest logits; the first ones in a tie, as in ``Predictions.pred``."""
    order: NDArray[np.int64] = np.argsort(-logits, axis=1, kind="stable")[:, :2]
    return order


def _changed_figures(table: Predictions, figures: Mapping[str, float | None]) -> list[str]:
    """Return the metrics that a table does not reproduce."""
    found = evaluate(table)["metrics"]
    names = [name for name in figures if name in found or name.endswith("_to_votes")]
    return [name for name in names if not _agree(name, found.get(name), figures[name])]


def _agree(name: str, found: float | None, wanted: float | None) -> bool:
    if found is None or wanted is None:
        return found is wanted
    return abs(found - wanted) <= (_SAME if name in _EXACT else TOLERANCE)
