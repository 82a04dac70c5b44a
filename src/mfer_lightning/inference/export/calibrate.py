"""Fit the temperature of an export, and the threshold for uncertain predictions, on validation faces."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.predictions_csv import find_table
from mfer_lightning.evaluation.risk_coverage import choose_threshold, risk_coverage
from mfer_lightning.evaluation.runs import RESULT
from mfer_lightning.evaluation.temperature_scaling import calibration
from mfer_lightning.inference.checkpoint import run_folder
from mfer_lightning.inference.model import FERModel


def calibrate_on_validation(model: FERModel, risk: float) -> None:
    """Choose a model's temperature and threshold on its run's predictions on val.

    Args:
        model: the model of a run's selected checkpoint; an entry ``calibration`` is added to its metadata.
        risk: maximum fraction of incorrect predictions among those not marked as uncertain, within (0, 1).

    Raises:
        UserError: if the run has no predictions on val of this checkpoint, or no threshold achieves the risk.
    """
    table = _validation(model)
    fitted = calibration(table, table)
    logits = table.logits.astype(np.float64) / fitted["temperature"]
    p = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    confidence, right = p.max(axis=1), p.argmax(axis=1) == table.label
    chosen = choose_threshold(confidence, right, risk)
    if chosen is None:
        curve = risk_coverage(confidence, right)
        best = int(curve.risk.argmin())
        raise UserError(
            f"risk={risk:g}: no threshold achieves this on val. The lowest risk is {curve.risk[best]:.1%}, with "
            f"{curve.coverage[best]:.1%} of the faces not marked as uncertain. Allow a larger risk."
        )
    model.metadata["calibration"] = {
        **fitted,
        "fitted_on": f"val of {model.metadata.get('protocol') or 'its run'}",
        "n": len(table),
        "uncertain": chosen.to_dict(),
    }


def _validation(model: FERModel) -> Predictions:
    """Read the predictions on val written by the run of a checkpoint."""
    run = None if model.source is None else run_folder(model.source)
    path = None if run is None else find_table(run, "val")
    if run is None or path is None:
        raise UserError(
            "calibrate=true fits on the validation predictions of a finished run (predictions_val.csv), but this "
            "checkpoint is not in a run's folder with such predictions. Give the folder of a finished run."
        )
    epoch = _selected_epoch(run / RESULT)
    if epoch != model.metadata.get("epoch"):
        raise UserError(
            f"calibrate=true: {path} is from a different epoch than this checkpoint. Export the checkpoint that the "
            f"run selected: checkpoint={run}."
        )
    table = Predictions.from_csv(path, model.class_names)
    table = table.select(table.label >= 0)
    if len(table) == 0:
        raise UserError(f"calibrate=true fits on val, but no row of {path} has a label.")
    return table


def _selected_epoch(path: Any) -> int | None:
    try:
        epoch: int | None = json.loads(path.read_text(encoding="utf-8"))["selection"]["epoch"]
        return epoch
    except (OSError, ValueError, KeyError, TypeError):
        return None
