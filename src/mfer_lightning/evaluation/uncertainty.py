"""Compute the intervals of a result's metrics, and the agreement of the annotators."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.evaluation.agreement import accuracy_by_agreement, fleiss_kappa, single_annotator_agreement
from mfer_lightning.evaluation.face_metrics import label_rank
from mfer_lightning.evaluation.intervals import mean_of_wilson, wilson
from mfer_lightning.evaluation.predictions import PADDING, Predictions
from mfer_lightning.evaluation.share_interval import hull
from mfer_lightning.evaluation.statistics.bootstrap import bootstrap_intervals


def metric_intervals(
    predictions: Predictions, groups: NDArray[np.integer] | None = None, seed: int = 0
) -> dict[str, list[float] | None]:
    """Compute the 95% interval of every metric: Wilson's for fractions of faces, the stratified bootstrap for others.

    The interval of mean-class accuracy combines the Wilson intervals of the classes, which works for small classes.

    If faces are grouped (several of one photo or person), they are not independent, and all metrics are bootstrapped by
    group; intervals of fractions of faces are never shorter than for the same number of independent faces
    (:mod:`.share_interval`). If no face is misclassified, the bootstrap intervals of F1 and kappa have zero width.
    Such intervals are meaningless and are replaced by None.

    Args:
        predictions: the table; at least one row must have a label.
        groups: (N,) faces of a group share a value, or None.
        seed: random seed of the bootstrap.

    Returns:
        metric -> [low, high], or None if undefined, e.g. with a single group; plain lists, ready for JSON.

    Raises:
        ValueError: if no row has a label, or ``groups`` has the wrong shape.
    """
    if groups is not None and len(np.unique(groups)) == len(groups):
        groups = None
    found = bootstrap_intervals(predictions, seed=seed, groups=groups)
    if groups is not None and len(np.unique(groups)) == 1:  # a single person does not show how others vary
        return dict.fromkeys(found)
    table = predictions.select((predictions.index != PADDING) & (predictions.label >= 0))
    right = {"accuracy": table.pred == table.label, "top2_accuracy": label_rank(table.logits, table.label) < 2}
    by_face = {name: wilson(int(hits.sum()), len(table)) for name, hits in right.items()}
    faces = np.bincount(table.label)
    hits = np.bincount(table.label, weights=right["accuracy"]).astype(np.int64)
    by_face["mean_class_accuracy"] = mean_of_wilson(hits[faces > 0].tolist(), faces[faces > 0].tolist())
    found |= {name: ends if groups is None else hull(found[name], ends) for name, ends in by_face.items()}
    return {name: list(ends) if ends is not None and ends[0] < ends[1] else None for name, ends in found.items()}


def annotator_figures(predictions: Predictions) -> dict[str, Any] | None:
    """Compute the agreement of a table's annotators, ready for JSON.

    Args:
        predictions: the table.

    Returns:
        ``single_annotator`` (see :func:`.agreement.single_annotator_agreement`), ``fleiss_kappa`` and ``by_agreement``,
        a list of bins with ``low``, ``high``, ``n``, ``accuracy`` and ``interval``; None if no face has two votes.
    """
    if predictions.votes is None:
        return None
    table = predictions.select((predictions.index != PADDING) & (predictions.label >= 0))
    assert table.votes is not None
    if not (table.votes.sum(axis=1) > 1).any():
        return None
    return {
        "single_annotator": single_annotator_agreement(table),
        "fleiss_kappa": fleiss_kappa(table.votes),
        "by_agreement": [{**asdict(b), "interval": list(b.interval)} for b in accuracy_by_agreement(table)],
    }
