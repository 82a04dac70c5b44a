"""``mfer evaluate suite=standard``: write predictions, all metrics and ``result.json``, as at the end of training."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mfer_lightning.analysis.evaluated import Evaluated
from mfer_lightning.analysis.face_lists import match_lists, measure_lists
from mfer_lightning.analysis.model_on_split import ModelOnSplit
from mfer_lightning.data.datasets.registry import find_protocol
from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.metrics import evaluate
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.schema import SCHEMA_VERSION, validate_result
from mfer_lightning.evaluation.temperature_scaling import calibration
from mfer_lightning.evaluation.uncertainty import annotator_figures, metric_intervals
from mfer_lightning.figures.plane import plane_of
from mfer_lightning.figures.split_figures import draw_figures
from mfer_lightning.files import digests, write_json
from mfer_lightning.inference.predict_split import (
    Outputs,
    SplitName,
    groups_of,
    predict_split,
    tabulate,
    write_features,
)
from mfer_lightning.nn.cost import count_gflops, count_parameters
from mfer_lightning.progress import progress_bar
from mfer_lightning.reporting.terminal.results import print_result
from mfer_lightning.tracking.provenance import git_state, hardware, peak_memory_bytes, versions


def evaluate_model(
    subject: ModelOnSplit,
    folder: Path | None,
    *,
    lists: Mapping[str, Sequence[str]] | None = None,
    calibrate: bool = False,
    embedding_points: int = 1500,
    show: bool = True,
) -> Evaluated:
    """Evaluate a model on a split; write and print the results.

    Args:
        subject: the model and the faces.
        folder: folder of the results: the table of predictions, features, figures, and ``result.json``, written last.
            None: nothing is written or printed.
        lists: file names of subsets to measure, see :mod:`mfer_lightning.analysis.face_lists`.
        calibrate: fit one temperature on val and report calibration before and after.
        embedding_points: number of faces in the t-SNE figure; 0: no figure.
        show: print the results and a progress bar; nothing is printed without a folder.

    Returns:
        The result.

    Raises:
        UserError: if there are no faces to evaluate, a list contains none of them, or, with ``calibrate``, there is
            no val split.
    """
    subject.require_faces()
    split, index = subject.split, subject.datamodule.index
    matched = match_lists(lists or {}, index.path.tolist(), subject.rows)  # before the slow predictions
    started = time.perf_counter()
    quiet = folder is None or not show
    outputs = _predict(subject, split, quiet=quiet)
    seconds = time.perf_counter() - started
    table, kept = tabulate(subject.datamodule, split, outputs, subject.match)
    result = _result(subject, table, seconds)
    groups = groups_of(subject.datamodule, table)
    measure_lists(matched, table, result, groups)
    if calibrate:
        result["calibration"] = calibration(_validation_table(subject, quiet=quiet), table)
    validate_result(result)
    if folder is None:
        return Evaluated(result, None, table)

    table.to_csv(folder / f"predictions_{split}.csv")
    rows = outputs.index[kept]
    attributes = {name: values[rows] for name, values in index.attributes.items()}
    feature = outputs.feature[kept]
    plane = plane_of(feature, table.label, embedding_points, result["seed"])
    write_features(folder / f"features_{split}.npz", rows, feature, table.label, attributes, plane, groups)
    draw_figures(folder, result, table, embedding_points)
    result["files"] = digests(folder, [f"predictions_{split}.csv"])
    write_json(folder / "result.json", result)
    if show:
        print_result(result, folder)
    return Evaluated(result, folder, table)


def _predict(subject: ModelOnSplit, split: SplitName, *, quiet: bool) -> Outputs:
    datamodule = subject.datamodule
    with progress_bar(quiet=quiet) as bar:
        task = bar.add_task(split, total=len(datamodule.splits[split]))
        return predict_split(
            subject.model, datamodule, split, views=subject.views, progress=lambda n: bar.advance(task, n)
        )


def _result(subject: ModelOnSplit, table: Predictions, seconds: float) -> dict[str, Any]:
    model, datamodule = subject.model, subject.datamodule
    evaluation = evaluate(table)
    stored: Mapping[str, Any] = model.metadata.get("config") or {}
    origin = find_protocol(model.metadata.get("protocol"))
    selects = origin is not None and not origin.takes_last_epoch
    size = model.preprocess.size or datamodule.size or 224
    return {
        "schema_version": SCHEMA_VERSION,
        **subject.describe(),
        **evaluation,
        "intervals": metric_intervals(table, groups_of(datamodule, table)),
        "annotators": annotator_figures(table),
        **datamodule.fold_entry(),
        "notes": [*subject.remarks(), *evaluation["notes"]],
        "selection": {
            "rule": origin.selection if origin else "selection rule unknown",
            "monitor": (stored.get("monitor") or origin.monitor) if origin and selects else None,
            "split": "val" if selects else None,
            "epoch": model.metadata.get("epoch"),
            "value": None,
        },
        "seed": int(stored.get("seed", 0)),
        "config": dict(stored),
        "data": {name: value for name, value in subject.dataset.items() if name not in ("_target_", "root")},
        "data_hash": datamodule.data_hash,
        "model": subject.describe_model(),
        "cost": {
            "parameters": count_parameters(model.network),
            "gflops": count_gflops(model.network, int(size)),
            "seconds": seconds,
            "images_per_second": len(table) / seconds,
            "peak_memory_bytes": peak_memory_bytes(),
        },
        "git": git_state(),
        "versions": versions(),
        "hardware": hardware(),
    }


def _validation_table(subject: ModelOnSplit, *, quiet: bool) -> Predictions:
    """Predict the val split, to fit a temperature."""
    datamodule = subject.datamodule
    if len(datamodule.splits.val) == 0:
        raise UserError(f"calibrate=true needs a val split, but {datamodule.protocol.name} has none.")
    return tabulate(datamodule, "val", _predict(subject, "val", quiet=quiet), subject.match)[0]
