"""A checkpoint measured on a split: predictions, figures and ``result.json``, as at the end of its training."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.progress import Progress

from mfer_lightning.analysis.cached_passes import choose_faces
from mfer_lightning.analysis.face_lists import FaceList, match_lists, measure_lists, read_lists
from mfer_lightning.analysis.model_and_faces import Subject, describe_model, doubts, left_out, open_subject
from mfer_lightning.analysis.temperature import calibration
from mfer_lightning.data.datasets.registry import find_protocol
from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.metrics import evaluate
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.schema import SCHEMA_VERSION, validate_result
from mfer_lightning.evaluation.uncertainty import annotator_figures, metric_intervals
from mfer_lightning.figures.split_figures import draw_figures
from mfer_lightning.files import write_json
from mfer_lightning.inference.collect import Outputs, write_features
from mfer_lightning.inference.predict_split import SplitName, groups_of, predict_split, tabulate
from mfer_lightning.nn.cost import count_gflops, count_parameters
from mfer_lightning.report.terminal.results import print_result
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
    names = read_lists(config["lists"])
    subject = open_subject(config, options)
    split, folder = subject.split, subject.folder
    lists: list[FaceList] = []
    if names:  # now: predicting takes a while
        measured = subject.datamodule.splits[split].rows[choose_faces(subject.datamodule, split, subject.match)]
        lists = match_lists(names, subject.datamodule.index.path.tolist(), measured)

    started = time.perf_counter()
    outputs = _predict(subject, split)
    seconds = time.perf_counter() - started
    table, kept = tabulate(subject.datamodule, split, outputs, subject.match)
    result = _result(subject, table, seconds)
    measure_lists(lists, table, result)
    if config["calibrate"]:
        result["calibration"] = calibration(_fitted(subject), table)

    table.to_csv(folder / f"predictions_{split}.csv")
    rows = outputs.index[kept]
    attributes = {name: values[rows] for name, values in subject.datamodule.index.attributes.items()}
    write_features(folder / f"features_{split}.npz", rows, outputs.feature[kept], table.label, attributes)
    draw_figures(folder, result, table, int(config["evaluation"]["embedding_points"]))
    write_json(folder / "result.json", dict(validate_result(result)))
    print_result(result, folder)
    return folder


def _predict(subject: Subject, split: SplitName) -> Outputs:
    datamodule = subject.datamodule
    with Progress(transient=True) as bar:
        task = bar.add_task(split, total=len(datamodule.splits[split]))
        return predict_split(
            subject.model, datamodule, split, views=subject.views, progress=lambda n: bar.advance(task, n)
        )


def _result(subject: Subject, table: Predictions, seconds: float) -> dict[str, Any]:
    model, datamodule, split, match = subject.model, subject.datamodule, subject.split, subject.match
    evaluation = evaluate(table)
    stored: Mapping[str, Any] = model.metadata.get("config") or {}
    trained_on = model.metadata.get("protocol")
    origin = find_protocol(trained_on)
    size = model.preprocess.size or datamodule.size or 224
    notes = [*doubts(model, datamodule, split), *left_out(match, datamodule, split), *evaluation["notes"]]
    return {
        "schema_version": SCHEMA_VERSION,
        "dataset": subject.spec.get("name", datamodule.dataset),
        "protocol": subject.protocol,
        "split": split,
        "evaluation_set": subject.evaluation_set,
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
        "data": {name: value for name, value in subject.spec.items() if name not in ("_target_", "root")},
        "data_hash": datamodule.data_hash,
        "model": describe_model(model, subject.views),
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


def _fitted(subject: Subject) -> Predictions:
    """Return the predictions that a temperature is fitted on: those of val."""
    datamodule = subject.datamodule
    if len(datamodule.splits.val) == 0:
        raise UserError(f"calibrate=true needs a val split to fit on, and {datamodule.protocol.name} has none.")
    return tabulate(datamodule, "val", _predict(subject, "val"), subject.match)[0]
