"""A checkpoint measured on a split: predictions, figures and ``result.json``, as at the end of its training."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress

from mfer_lightning.commands.draw import draw_figures
from mfer_lightning.commands.subject import describe_model, doubts, left_out, open_subject
from mfer_lightning.data.datamodules import FaceDataModule
from mfer_lightning.data.protocols import PROTOCOLS
from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.calibration import expected_calibration_error, fit_temperature
from mfer_lightning.evaluation.metrics import evaluate
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.schema import SCHEMA_VERSION, validate_result
from mfer_lightning.evaluation.uncertainty import annotator_figures, metric_intervals
from mfer_lightning.files import write_json
from mfer_lightning.inference.classes import ClassMatch
from mfer_lightning.inference.collect import Outputs, write_features
from mfer_lightning.inference.model import FERModel
from mfer_lightning.inference.split import SplitName, groups_of, predict_split, tabulate
from mfer_lightning.nn.cost import count_gflops, count_parameters
from mfer_lightning.report.terminal import print_result
from mfer_lightning.tracking.provenance import git_state, hardware, peak_memory_bytes, versions


def evaluate_checkpoint(config: Mapping[str, Any], options: Sequence[str] = ()) -> Path:
    """Evaluate a checkpoint as ``mfer evaluate`` was asked to.

    Args:
        config: plain resolved configuration of ``mfer evaluate``.
        options: ``dataset.<option>=<value>``.

    Returns:
        The folder of the results.

    Raises:
        UserError: for whatever the user can mend.
    """
    subject = open_subject(config, options)
    model, datamodule, spec, match = subject.model, subject.datamodule, subject.spec, subject.match
    split, flip, folder = subject.split, subject.flip, subject.folder

    started = time.perf_counter()
    outputs = _predict(model, datamodule, split, flip)
    seconds = time.perf_counter() - started
    table, kept = tabulate(datamodule, split, outputs, match)
    result = _result(model, datamodule, spec, split, match, table, flip, seconds)
    if config["calibrate"]:
        result["calibration"] = _calibration(model, datamodule, match, table, flip)

    table.to_csv(folder / f"predictions_{split}.csv")
    rows = outputs.index[kept]
    attributes = {name: values[rows] for name, values in datamodule.index.attributes.items()}
    write_features(folder / f"features_{split}.npz", rows, outputs.feature[kept], table.label, attributes)
    draw_figures(folder, result, table, int(config["evaluation"]["embedding_points"]))
    write_json(folder / "result.json", dict(validate_result(result)))
    print_result(result, folder)
    return folder


def _predict(model: FERModel, datamodule: FaceDataModule, split: SplitName, flip: bool) -> Outputs:
    with Progress(transient=True) as bar:
        task = bar.add_task(split, total=len(datamodule.splits[split]))
        return predict_split(model, datamodule, split, flip=flip, progress=lambda n: bar.advance(task, n))


def _result(
    model: FERModel,
    datamodule: FaceDataModule,
    spec: Mapping[str, Any],
    split: SplitName,
    match: ClassMatch,
    table: Predictions,
    flip: bool,
    seconds: float,
) -> dict[str, Any]:
    evaluation = evaluate(table)
    stored: Mapping[str, Any] = model.metadata.get("config") or {}
    trained_on = model.metadata.get("protocol")
    origin = PROTOCOLS.get(str(trained_on))
    size = model.preprocess.size or datamodule.size or 224
    notes = [*doubts(model, datamodule, split), *left_out(match, datamodule, split), *evaluation["notes"]]
    return {
        "schema_version": SCHEMA_VERSION,
        "dataset": spec.get("name", datamodule.dataset),
        "protocol": f"{datamodule.protocol.name}{match.mark}",
        "split": split,
        "evaluation_set": datamodule.protocol.describe(split),
        **evaluation,
        "intervals": metric_intervals(table, groups_of(datamodule, table)),
        "annotators": annotator_figures(table),
        "notes": [*notes, *datamodule.notes],
        "selection": {
            "rule": origin.selection if origin else "as the checkpoint was made",
            "monitor": origin.monitor if origin and not origin.takes_last_epoch else None,
            "split": None if origin is None or origin.takes_last_epoch else "val",
            "epoch": model.metadata.get("epoch"),
            "value": None,
        },
        "seed": int(stored.get("seed", 0)),
        "config": dict(stored),
        "data": {name: value for name, value in spec.items() if name not in ("_target_", "root")},
        "data_hash": datamodule.data_hash,
        "model": describe_model(model, flip),
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


def _calibration(
    model: FERModel, datamodule: FaceDataModule, match: ClassMatch, table: Predictions, flip: bool
) -> dict[str, Any]:
    """Fit one temperature on val, and compare calibration on the reported split before and after."""
    if len(datamodule.splits.val) == 0:
        raise UserError(f"calibrate=true needs a val split to fit on, and {datamodule.protocol.name} has none.")
    fitted, _ = tabulate(datamodule, "val", _predict(model, datamodule, "val", flip), match)
    temperature = fit_temperature(fitted.logits, fitted.label)
    figures: dict[str, Any] = {"temperature": temperature, "fitted_on": "val"}
    for when, scale in (("before", 1.0), ("after", temperature)):
        logits = table.logits.astype(np.float64) / scale
        log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        figures[when] = {
            "nll": float(-log_p[np.arange(len(table)), table.label].mean()),
            "ece": expected_calibration_error(np.exp(log_p), table.label),
        }
    return figures
