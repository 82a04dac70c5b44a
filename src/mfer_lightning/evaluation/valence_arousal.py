"""Evaluate predicted valence and arousal: concordance, root mean squared error and sign agreement.

Lin, A Concordance Correlation Coefficient to Evaluate Reproducibility, Biometrics 1989; Nicolaou, Gunes, Pantic,
Continuous Prediction of Spontaneous Affect, IEEE Transactions on Affective Computing 2011 (sign agreement, SAGR). These
metrics are reported in AffectNet's paper (arXiv 1708.03985). They all follow from sums over faces, so that the
bootstrap can compute thousands of resamples at once.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.predictions_csv import DIMENSIONS
from mfer_lightning.plurals import counted

#: Metrics: for each dimension, and the mean of the two.
FIGURES = tuple(f"{measure}{of}" for measure in ("ccc", "rmse", "sagr") for of in ("", "_valence", "_arousal"))

_MEASURES = {"ccc": ("CCC", "", 1.0, 3), "rmse": ("RMSE", "", 1.0, 3), "sagr": ("SAGR", "%", 100.0, 2)}
_OF = {"": "valence/arousal", "_valence": "valence", "_arousal": "arousal"}
#: Metric -> its title, its unit, the factor that converts a value to that unit, and the number of decimals.
TITLES: Mapping[str, tuple[str, str, float, int]] = {
    f"{measure}{of}": (f"{title}, {words}", unit, factor, digits)
    for measure, (title, unit, factor, digits) in _MEASURES.items()
    for of, words in _OF.items()
}

#: Sums for a dimension: known values n, x, y, x^2, y^2, xy, equal signs.
_SUMS = 7


def has_valence_arousal(table: Predictions) -> bool:
    """Whether a table has predictions of valence and arousal with some known labels."""
    known = table.true_valence_arousal
    return table.valence_arousal is not None and known is not None and not bool(np.isnan(known).all())


def summands(table: Predictions) -> NDArray[np.float64]:
    """Return each face's contribution to the sums behind the metrics, (N,14); unknown values contribute nothing.

    Args:
        table: a table for which :func:`has_valence_arousal` is true.
    """
    assert table.valence_arousal is not None
    assert table.true_valence_arousal is not None
    columns = []
    for x, y in zip(table.valence_arousal.T.astype(np.float64), table.true_valence_arousal.T, strict=True):
        known = ~np.isnan(y)
        x, y = np.where(known, x, 0.0), np.where(known, y, 0.0).astype(np.float64)
        columns += [known, x, y, x * x, y * y, x * y, known & (np.sign(x) == np.sign(y))]
    return np.stack(columns, axis=1).astype(np.float64)


def figures_of_sums(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Compute the metrics of many sets of faces at once.

    Variances and the covariance use the divisor n - 1, as in torchmetrics' ``ConcordanceCorrCoef``; 0 counts as a
    separate sign.

    Args:
        sums: (R,14), each the sum of :func:`summands` over a set of faces.

    Returns:
        Name in :data:`FIGURES` -> (R,); NaN if undefined: CCC with fewer than two known values or if all
        predictions and labels are the same number, RMSE and SAGR without known values.
    """
    found: dict[str, NDArray[np.float64]] = {}
    with np.errstate(invalid="ignore", divide="ignore"):
        for place, of in enumerate(DIMENSIONS):
            n, x, y, xx, yy, xy, agree = sums[:, place * _SUMS : (place + 1) * _SUMS].T
            found[f"rmse_{of}"] = np.sqrt(np.maximum(xx - 2 * xy + yy, 0.0) / n)
            found[f"sagr_{of}"] = agree / n
            spread = (xx - x * x / n + yy - y * y / n) / (n - 1)
            apart = spread + ((x - y) / n) ** 2
            concordance = np.where(apart > 0, 2 * (xy - x * y / n) / (n - 1) / apart, np.nan)
            found[f"ccc_{of}"] = np.where(n > 1, concordance, np.nan)
    for measure in ("ccc", "rmse", "sagr"):
        found[measure] = (found[f"{measure}_valence"] + found[f"{measure}_arousal"]) / 2
    return {name: found[name] for name in FIGURES}


def valence_arousal_figures(table: Predictions, notes: list[str]) -> dict[str, float | None]:
    """Compute the metrics of a table of predictions.

    Args:
        table: may lack valence and arousal.
        notes: receives a note about unknown values.

    Returns:
        Name in :data:`FIGURES` -> value, None if undefined; empty if the table lacks predictions or known labels.
    """
    if not has_valence_arousal(table):
        return {}
    assert table.true_valence_arousal is not None
    unknown = np.isnan(table.true_valence_arousal).sum(axis=0).tolist()
    if any(unknown):
        counts = " and ".join(f"{of} of {n}" for of, n in zip(DIMENSIONS, unknown, strict=True) if n)
        notes.append(f"Unknown values are left out of the metrics: {counts} of {counted(len(table), 'face')}.")
    figures = figures_of_sums(summands(table).sum(axis=0)[None])
    return {name: None if np.isnan(value[0]) else float(value[0]) for name, value in figures.items()}
