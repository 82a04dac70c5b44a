"""Tables of predictions with few digits: small enough to be kept, with the figures of the whole ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.evaluation.facewise import annotators
from mfer_lightning.evaluation.metrics import evaluate
from mfer_lightning.evaluation.predictions import Predictions

#: Logits are rounded to multiples of the first of these with which all figures stay; else they are kept as they are.
STEPS = (0.05, 0.01, 0.001)
#: How far a figure may be from the one of the whole table.
TOLERANCE = 1e-3
#: What follows from the two largest logits and the label alone; equal but for another library's last digit.
_EXACT = ("accuracy", "mean_class_accuracy", "macro_f1", "weighted_f1", "top2_accuracy", "cohen_kappa")
_SAME = 1e-9


def shorten(table: Predictions, figures: Mapping[str, float | None]) -> Predictions:
    """Round the logits of a table as far as its figures allow.

    Predicted and second class of every face stay what they are, and so does everything that counts right and wrong.
    Soft targets are left out where no figure is made of them: beside votes, and where they are the label again.

    Args:
        table: a whole table.
        figures: its metrics (``result.json``), which the shortened one must give again.

    Returns:
        The same faces with other logits.

    Raises:
        ValueError: in words that follow the folder's name, where not even the whole table gives these figures.

    Example:
        >>> table = Predictions([0], ["a.png"], [1], [[0.3123, 1.0271]], ("anger", "fear"))
        >>> shorten(table, {"accuracy": 1.0}).logits.tolist()
        [[0.30000001192092896, 1.0499999523162842]]
    """
    lean = table
    if table.votes is not None or (table.target is not None and annotators(table, []) is None):
        lean = replace(table, target=None)
    for step in STEPS:
        short = replace(lean, logits=round_logits(table.logits, step))
        if not _astray(short, figures):
            return short
    astray = _astray(lean, figures)
    if astray:
        raise ValueError(f"has figures that its predictions do not give ({', '.join(astray)})")
    return lean


def round_logits(logits: NDArray[np.float32], step: float) -> NDArray[np.float32]:
    """Round to multiples of a step; rows whose two first classes that would change to finer ones.

    Args:
        logits: (N,K) float32.
        step: the coarsest step. A row takes a tenth of it, or a hundredth, or stays as it is, where rounding makes two
            of its logits equal that tell its first or second class.

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
        tried = np.round(logits.astype(np.float64) / finer) * finer + 0.0  # without -0.0
        fits = left & (_first_two(tried.astype(np.float32)) == first).all(axis=1)
        rounded[fits] = tried[fits]
        left &= ~fits
    return rounded


def _first_two(logits: NDArray[np.float32]) -> NDArray[np.int64]:
    """Give the classes of the two largest logits; of equal ones the first, as everywhere."""
    order: NDArray[np.int64] = np.argsort(-logits, axis=1, kind="stable")[:, :2]
    return order


def _astray(table: Predictions, figures: Mapping[str, float | None]) -> list[str]:
    """Name the figures that a table does not give."""
    found = evaluate(table)["metrics"]
    names = [name for name in figures if name in found or name.endswith("_to_votes")]
    return [name for name in names if not _agree(name, found.get(name), figures[name])]


def _agree(name: str, found: float | None, wanted: float | None) -> bool:
    if found is None or wanted is None:
        return found is wanted
    return abs(found - wanted) <= (_SAME if name in _EXACT else TOLERANCE)
