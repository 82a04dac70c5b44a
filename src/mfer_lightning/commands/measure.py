"""A checkpoint measured on a split: predictions, figures and ``result.json``, as at the end of its training."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress

from mfer_lightning.commands.draw import draw_figures
from mfer_lightning.commands.faces import dataset_config, open_dataset
from mfer_lightning.data.datamodules import FaceDataModule
from mfer_lightning.data.protocols import PROTOCOLS
from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.calibration import expected_calibration_error, fit_temperature
from mfer_lightning.evaluation.metrics import evaluate
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.schema import SCHEMA_VERSION, validate_result
from mfer_lightning.files import write_json
from mfer_lightning.inference.classes import ClassMatch, match_classes
from mfer_lightning.inference.collect import Outputs, write_features
from mfer_lightning.inference.locate import run_folder
from mfer_lightning.inference.model import FERModel, read_model
from mfer_lightning.inference.split import SplitName, predict_split, tabulate
from mfer_lightning.memory import keep_freed_memory
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
    keep_freed_memory()
    model = read_model(config["checkpoint"], config["device"])
    stored = model.metadata.get("config")
    spec = dataset_config(config["dataset_name"], options, stored, config["paths"]["data"])
    datamodule = open_dataset(spec, config["loader"], config["paths"]["cache"])
    split: SplitName = config["split"]
    match = match_classes(model.class_names, datamodule.class_names, config["drop"])
    flip = bool(model.metadata.get("flip", False)) if config["flip"] is None else config["flip"]
    folder = _folder(config, model, datamodule, match, flip)

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


def _folder(
    config: Mapping[str, Any], model: FERModel, datamodule: FaceDataModule, match: ClassMatch, flip: bool
) -> Path:
    """Choose where the results go: the same evaluation of the same checkpoint finds its folder again."""
    assert model.source is not None
    if config["output"] is not None:
        return Path(config["output"]).expanduser()
    run = run_folder(model.source)
    parent = Path(config["paths"]["runs"]).expanduser() / f"evaluate-{model.source.stem}" if run is None else run
    name = f"{datamodule.protocol.name}{match.mark}-{config['split']}"
    if run is not None and model.source.stem != "best":
        name = f"{model.source.stem}-{name}"
    return parent / "evaluations" / (name + ("-flip" if flip else ""))


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
    notes = [*_doubts(model, datamodule, split), *_left_out(match, datamodule, split), *evaluation["notes"]]
    return {
        "schema_version": SCHEMA_VERSION,
        "dataset": spec.get("name", datamodule.dataset),
        "protocol": f"{datamodule.protocol.name}{match.mark}",
        "split": split,
        "evaluation_set": datamodule.protocol.describe(split),
        **evaluation,
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
        "data_hash": datamodule.data_hash,
        "model": {
            "checkpoint": str(model.source),
            "trained_on": trained_on,
            "data_hash": model.metadata.get("data_hash"),
            "git": model.metadata.get("git"),
            "class_names": list(model.class_names),
            "flip": flip,
        },
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


def _doubts(model: FERModel, datamodule: FaceDataModule, split: SplitName) -> list[str]:
    """Say where a figure is not what it looks like: faces that the model was trained or selected on."""
    trained_on = str(model.metadata.get("protocol"))
    origin = PROTOCOLS.get(trained_on)
    if origin is None or origin.dataset != datamodule.protocol.dataset:
        return []
    if split == "train":
        return ["the model was trained on these faces: this is no figure of how it does on others"]
    partitions = set(np.unique(datamodule.index.partition[datamodule.splits[split].rows]).tolist())
    notes = []
    held_out = datamodule.protocol.name == trained_on and split == "val"
    if partitions & set(origin.train) and not held_out:
        notes.append(f"{trained_on}, which the model was trained under, trains on faces of this split")
    if origin.val in partitions and not (datamodule.protocol.name == trained_on and split == "val"):
        notes.append(f"{trained_on}, which the model was trained under, selects its epoch on faces of this split")
    return notes


def _left_out(match: ClassMatch, datamodule: FaceDataModule, split: SplitName) -> list[str]:
    if not match.dropped:
        return []
    lost = int((match.to_common[datamodule.splits[split].label] < 0).sum())
    names = ", ".join(match.dropped)
    return [f"left out as asked: {names} ({lost:,} faces; a view of {len(match.names)} classes)"]


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
