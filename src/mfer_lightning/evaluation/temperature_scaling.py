"""Report calibration before and after temperature scaling, fitted on validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.calibration import expected_calibration_error, fit_temperature
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.predictions_csv import find_table


def calibration(fitted_on: Predictions, table: Predictions) -> dict[str, Any]:
    """Fit a temperature on val, and measure calibration on the reported faces before and after scaling.

    Args:
        fitted_on: predictions on val.
        table: predictions on the reported faces, of the same classes.

    Returns:
        ``temperature``; ``fitted_on``, always ``"val"``; ``before`` and ``after``, each with ``nll`` (nats) and
        ``ece``.

    Raises:
        ValueError: if either table has no labels.
    """
    known = fitted_on.select(fitted_on.label >= 0)
    temperature = fit_temperature(known.logits, known.label)
    table = table.select(table.label >= 0)
    figures: dict[str, Any] = {"temperature": temperature, "fitted_on": "val"}
    for when, scale in (("before", 1.0), ("after", temperature)):
        logits = table.logits.astype(np.float64) / scale
        log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        figures[when] = {
            "nll": float(-log_p[np.arange(len(table)), table.label].mean()),
            "ece": expected_calibration_error(np.exp(log_p), table.label),
        }
    return figures


def val_beside(path: Path, class_names: tuple[str, ...]) -> Predictions:
    """Read a run's predictions on val, given the path of its predictions on another split.

    Raises:
        UserError: if there are none, or they have different classes or no labels.
    """
    val = find_table(path.parent, "val")
    if val is None:
        raise UserError(
            f"calibrate=true fits on val, but there is no {path.with_name('predictions_val.csv')} next to {path.name}."
        )
    table = Predictions.from_csv(val, class_names)
    if not (table.label >= 0).any():
        raise UserError(f"calibrate=true fits on val, but no row of {val} has a label.")
    return table
