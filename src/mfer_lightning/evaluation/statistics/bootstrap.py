"""Compute bootstrap intervals of all metrics over the faces of a test set, with fixed class counts.

Efron and Tibshirani, An Introduction to the Bootstrap, 1993. The intervals cover the variation from the choice of
faces, but not from the class counts or the training seed. For seeds, see :mod:`.seeds` and :mod:`.statistics.methods`.

``scipy.stats.bootstrap`` is not used: it does not support groups of faces, keeps the class counts fixed only if each
class is passed as a separate sample, and calls a metric that is not vectorized once per resample. This takes 5 s for
the macro F1 of 3,000 faces; here, all metrics together take 0.4 s.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.evaluation.calibration import equal_mass_bins, expected_calibration_error
from mfer_lightning.evaluation.face_metrics import face_values
from mfer_lightning.evaluation.predictions import PADDING, Predictions
from mfer_lightning.evaluation.statistics.count_metrics import FROM_COUNTS
from mfer_lightning.evaluation.statistics.resample import resample_cells, resample_weights
from mfer_lightning.evaluation.valence_arousal import FIGURES, figures_of_sums, has_valence_arousal, summands

Interval = tuple[float, float]

#: Metrics with a bootstrap interval. Those on votes need votes or soft targets in the table; those on valence and
#: arousal need columns for both.
BOOTSTRAPPED = (*FROM_COUNTS, "top2_accuracy", "nll", "brier", "ece", "kl_to_votes", "cross_entropy_to_votes", *FIGURES)


def bootstrap_interval(
    predictions: Predictions,
    metric_name: str,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    groups: NDArray[np.integer] | None = None,
) -> Interval | None:
    """Compute the bootstrap interval of one metric; see :func:`bootstrap_intervals`.

    Returns:
        Lower and upper bound; None if the metric is undefined for this table.

    Raises:
        ValueError: if the metric has no bootstrap interval here, or an argument is not legal.

    Example:
        >>> logits = [[1, 0]] * 90 + [[0, 1]] * 10
        >>> table = Predictions(range(100), [""] * 100, [0] * 100, logits, ("anger", "fear"))
        >>> low, high = bootstrap_interval(table, "accuracy")
        >>> low < 0.9 < high
        True
    """
    return bootstrap_intervals(predictions, [metric_name], confidence, resamples, seed, groups)[metric_name]


def bootstrap_intervals(
    predictions: Predictions,
    metric_names: Sequence[str] | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    groups: NDArray[np.integer] | None = None,
) -> dict[str, Interval | None]:
    """Compute bootstrap intervals of several metrics, stratified by true class.

    Intervals are percentiles of the resamples, except for ``ece``: a calibration error is a sum of absolute values, so
    its value on a resample exceeds its value on the table by about as much as the latter exceeds the true value. The
    interval is therefore reflected (``2 * value - percentile``, at least 0).

    Args:
        predictions: the table; padding rows and rows without a label are ignored.
        metric_names: names in :data:`BOOTSTRAPPED`; None: all that can be computed from the table.
        confidence: nominal coverage, between 0 and 1.
        resamples: number of resamples, at least 1.
        seed: the same seed gives the same intervals.
        groups: (N,) faces that share a value (one photo, one person) are drawn together; None: independently.

    Returns:
        metric -> lower and upper bound, or None if the metric is undefined for this table.

    Raises:
        ValueError: if a metric has no bootstrap interval here, no row has a label, or an argument is not legal.
    """
    if resamples < 1:
        raise ValueError(f"Expected argument `resamples` to be at least 1, but got {resamples}.")
    if not 0 < confidence < 1:
        raise ValueError(f"Expected argument `confidence` between 0 and 1, but got {confidence}.")
    if groups is not None and np.shape(groups) != (len(predictions),):
        raise ValueError(f"Expected argument `groups` of shape ({len(predictions)},), but got {np.shape(groups)}.")
    counted = (predictions.index != PADDING) & (predictions.label >= 0)
    table = predictions.select(counted)
    if not len(table):
        raise ValueError("Expected argument `predictions` to contain labels, but no row has one.")
    faces = face_values(table)
    available = [*FROM_COUNTS, *faces, "ece", *(FIGURES if has_valence_arousal(table) else ())]
    names = [name for name in BOOTSTRAPPED if name in available] if metric_names is None else list(metric_names)
    for name in names:
        if name not in available:
            raise ValueError(f"Expected argument `metric_names` to contain metrics of {available}, but got {name!r}.")
    groups = None if groups is None else np.asarray(groups)[counted]
    rng = np.random.default_rng(seed)
    drawn = _draw(table, names, faces, groups, resamples, rng)
    ends = [(1 - confidence) / 2, (1 + confidence) / 2]
    intervals: dict[str, Interval | None] = {}
    for name in names:
        if np.isnan(drawn[name]).all():
            intervals[name] = None
            continue
        low, high = np.nanquantile(drawn[name], ends).tolist()
        if name == "ece":
            value = expected_calibration_error(table.probabilities, table.label)
            low, high = max(0.0, 2 * value - high), max(0.0, 2 * value - low)
        intervals[name] = (low, high)
    return intervals


def _draw(
    table: Predictions,
    names: Sequence[str],
    faces: dict[str, tuple[NDArray[np.float64], NDArray[np.bool_]]],
    groups: NDArray[np.integer] | None,
    resamples: int,
    rng: np.random.Generator,
) -> dict[str, NDArray[np.float64]]:
    """Compute each metric over the resamples, (R,)."""
    k = len(table.class_names)
    by_counts = [name for name in names if name in FROM_COUNTS]
    by_faces = [name for name in names if name not in (*FROM_COUNTS, *FIGURES)]
    by_values = [name for name in names if name in FIGURES]
    cell = table.label * k + table.pred
    drawn: dict[str, NDArray[np.float64]] = {}
    if by_counts and groups is None:
        cells = np.bincount(cell, minlength=k * k).reshape(k, k)
        confusions = resample_cells(cells, cells.sum(axis=1), resamples, rng)
        drawn |= {name: FROM_COUNTS[name](confusions) for name in by_counts}
        by_counts = []
    if not by_counts and not by_faces and not by_values:
        return drawn
    # all values to be summed over faces, in one matrix, so that a block of resamples takes one matrix product
    columns = [np.eye(k * k)[cell]] if by_counts else []
    for name in by_faces:
        columns.append(_gaps(table) if name == "ece" else np.stack([faces[name][0], faces[name][1]], axis=1))
    if by_values:
        columns.append(summands(table))
    all_columns = np.concatenate(columns, axis=1)
    sums = np.concatenate([w @ all_columns for w in resample_weights(table.label, groups, resamples, rng)])
    at = 0
    if by_counts:
        confusions = sums[:, : k * k].round().astype(np.int64).reshape(-1, k, k)
        drawn |= {name: FROM_COUNTS[name](confusions) for name in by_counts}
        at = k * k
    for name, part in zip(by_faces, columns[bool(by_counts) :], strict=False):
        mine = sums[:, at : at + part.shape[1]]
        at += part.shape[1]
        if name == "ece":
            drawn[name] = np.abs(mine[:, :-1]).sum(axis=1) / mine[:, -1]
        else:
            with np.errstate(invalid="ignore"):
                drawn[name] = mine[:, 0] / mine[:, 1]
    found = figures_of_sums(sums[:, at:]) if by_values else {}
    return drawn | {name: found[name] for name in by_values}


def _gaps(table: Predictions) -> NDArray[np.float64]:
    """Return each face's contribution to its bin's gap between accuracy and confidence, (N,B), and a column of ones.

    The bins of the table are used for all resamples, because the bins of a resample would hardly differ.
    """
    p = table.probabilities
    confidence = p.max(axis=1)
    place = equal_mass_bins(confidence)
    gaps = np.zeros((len(table), int(place.max()) + 2))
    gaps[np.arange(len(table)), place] = (table.pred == table.label) - confidence
    gaps[:, -1] = 1
    return gaps


def paired_difference_interval(
    right_a: NDArray[np.bool_],
    right_b: NDArray[np.bool_],
    label: NDArray[np.integer],
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Compute the paired bootstrap interval of a difference of accuracies, stratified by true class.

    Args:
        right_a: (N,) whether the first model is correct for each image.
        right_b: (N,) whether the second model is correct for each of the same images.
        label: (N,) true classes, from 0.
        confidence: nominal coverage.
        resamples: number of resamples, at least 1.
        seed: the same seed gives the same interval.

    Returns:
        Lower and upper bound of the first model's accuracy minus that of the second model.
    """
    outcome = 1 + right_a.astype(np.int64) - right_b.astype(np.int64)  # 0: only b, 1: both or neither, 2: only a
    cells = np.bincount(label * 3 + outcome, minlength=3 * (int(np.max(label)) + 1)).reshape(-1, 3)
    drawn = resample_cells(cells, cells.sum(axis=1), resamples, np.random.default_rng(seed)).sum(axis=1)
    low, high = np.quantile((drawn[:, 2] - drawn[:, 0]) / len(label), [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
