"""``mfer evaluate predictions=...``: recompute all results from a table of predictions, without a model or images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.analysis.evaluated import Evaluated
from mfer_lightning.analysis.face_lists import match_lists, measure_lists
from mfer_lightning.damaged_arrays import DAMAGE
from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.metrics import evaluate
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.predictions_csv import table_name
from mfer_lightning.evaluation.runs import RESULT, read_result
from mfer_lightning.evaluation.temperature_scaling import calibration, val_beside
from mfer_lightning.evaluation.uncertainty import annotator_figures, metric_intervals
from mfer_lightning.figures.split_figures import draw_figures
from mfer_lightning.files import sha256_of, write_json
from mfer_lightning.inference.match_classes import ClassMatch, match_classes
from mfer_lightning.reporting.terminal.results import print_evaluation


def evaluate_predictions(
    predictions: str | Path,
    folder: Path | None = None,
    *,
    lists: Mapping[str, Sequence[str]] | None = None,
    drop: Sequence[str] = (),
    calibrate: bool = False,
) -> Evaluated:
    """Evaluate a ``predictions_<split>.csv`` or ``.csv.xz``; write and print the results.

    Args:
        predictions: the table.
        folder: folder of the results; None: a folder next to the table, named after it.
        lists: file names of subsets to measure, see :mod:`mfer_lightning.analysis.face_lists`.
        drop: classes to leave out.
        calibrate: fit one temperature to the val predictions in the same folder, and report calibration with it.

    Returns:
        The results, which are also written to ``evaluation.json``, with figures.

    Raises:
        UserError: if the file is not such a table, no face has a label, a list matches no face, or, with ``calibrate``,
            there are no val predictions.
    """
    path = Path(predictions).expanduser()
    table = Predictions.from_csv(path)
    match = match_classes(table.class_names, table.class_names, drop)
    names, paths, groups = table.class_names, table.path.tolist(), _groups_beside(path, table.index)
    table = _view(replace(table, index=np.arange(len(table))), match)  # numbered by the rows of this table
    if not (table.label >= 0).any():
        left = f" other than {', '.join(match.dropped)}" if match.dropped else ""
        raise UserError(f"{path}: no face has a label{left}, so there is nothing to measure.")
    groups = None if groups is None else groups[table.index]
    matched = match_lists(lists or {}, paths, table.index[table.label >= 0], among="the table")
    found: dict[str, Any] = {
        **evaluate(table),
        "intervals": (None if match.dropped else _intervals_of_its_run(path)) or metric_intervals(table, groups),
        "annotators": annotator_figures(table),
    }
    measure_lists(matched, table, found, groups)
    if calibrate:
        found["calibration"] = calibration(_view(val_beside(path, names), match), table)
    name = table_name(path)
    folder = path.parent / f"{name}{match.mark}" if folder is None else folder
    where = {"protocol": f"{path.name}{match.mark}", "split": name.removeprefix("predictions_"), "seed": 0}
    draw_figures(folder, {**found, **where}, table, embedding_points=0)
    result = {"predictions": str(path), "left_out": list(match.dropped), **found}
    write_json(folder / "evaluation.json", result)
    print_evaluation(found, f"{path}{' without ' + ', '.join(match.dropped) if match.dropped else ''}", folder)
    return Evaluated(result, folder, table)


def _groups_beside(path: Path, index: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Read the photo or person of each face from the features file next to a table; None if unknown."""
    features = path.with_name(f"{table_name(path).replace('predictions_', 'features_', 1)}.npz")
    try:
        with np.load(features, allow_pickle=False) as stored:
            group = stored["group"].astype(np.int64)
            same = np.array_equal(stored["index"], index)
    except DAMAGE:
        return None
    return group if same and group.shape == index.shape else None


def _intervals_of_its_run(path: Path) -> dict[str, Any] | None:
    """Return the intervals in the ``result.json`` next to the table if it was computed from this table; else None.

    These intervals are correct even if it is no longer known which faces share a photo or a person.
    """
    try:
        result = read_result(path.with_name(RESULT))
    except ValueError:
        return None
    name = f"predictions_{result['split']}.csv"
    made_of_it = path.name == name and path.is_file() and result.get("files", {}).get(name) == sha256_of(path)
    return dict(result["intervals"]) if made_of_it and "intervals" in result else None


def _view(table: Predictions, match: ClassMatch) -> Predictions:
    """Leave out dropped classes and their faces."""
    if not match.dropped:
        return table
    label = match.to_common[table.label]
    keep = (label >= 0) & (table.label >= 0)
    kept = table.select(keep)
    target = None if kept.target is None else kept.target[:, match.columns]
    logits = kept.logits[:, match.columns]
    return replace(kept, label=label[keep], logits=logits, class_names=match.names, target=target)
