"""Finish a training run: predict with the selected checkpoint, draw the figures, write ``result.json``."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
from lightning.pytorch.callbacks import ModelCheckpoint

from mfer_lightning.callbacks import History
from mfer_lightning.checkpoints.read import read_checkpoint
from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.metrics import evaluate
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.schema import SCHEMA_VERSION, validate_result
from mfer_lightning.evaluation.uncertainty import annotator_figures, metric_intervals
from mfer_lightning.figures.learning_curves import plot_learning_curves
from mfer_lightning.figures.plane import plane_of
from mfer_lightning.figures.split_figures import draw_figures
from mfer_lightning.files import digests, write_json
from mfer_lightning.inference.match_classes import ClassMatch
from mfer_lightning.inference.predict_split import SplitName, groups_of, predict_with_trainer, tabulate, write_features
from mfer_lightning.module import FERModule
from mfer_lightning.nn.cost import count_parameters
from mfer_lightning.nn.weights.checksums import check_storages
from mfer_lightning.reporting.terminal.results import print_result
from mfer_lightning.tracking.provenance import hardware, peak_memory_bytes, versions
from mfer_lightning.training.further_metrics import build_further_metrics, further_figures, selecting_monitor
from mfer_lightning.training.publish_results import publish_result
from mfer_lightning.training.relabelled import say_relabelled, write_relabelled
from mfer_lightning.training.resume import mixed_arithmetic
from mfer_lightning.views import Views

log = logging.getLogger("mfer_lightning")


def finish(
    config: Mapping[str, Any],
    run_dir: Path,
    trainer: L.Trainer,
    module: FERModule,
    datamodule: FaceDataModule,
    history: History,
    gflops: float,
) -> float | None:
    """Evaluate the selected checkpoint on val and test, and write all outputs of a finished run.

    ``result.json`` is written last and marks a run as finished.

    Args:
        config: plain resolved configuration.
        run_dir: the run's folder.
        trainer: trainer that fitted ``module``.
        module: receives the weights of the selected checkpoint.
        datamodule: a datamodule that is set up.
        history: rows of ``metrics.csv``.
        gflops: multiply-adds of the network per face, in billions.

    Returns:
        The value of the selection metric on val (None if the protocol uses the last epoch, or on ranks above 0).

    Raises:
        UserError: if the run ended before its first validation.
    """
    selection = _select(config, trainer, module, datamodule)
    views = Views.of_metadata(config["evaluation"])
    tables: dict[str, Predictions] = {}
    own = np.arange(datamodule.num_classes)
    match = ClassMatch(datamodule.class_names, own, own)  # the network has the classes of the dataset
    splits: tuple[SplitName, ...] = ("val", "test")
    reported: SplitName = "test" if len(datamodule.splits["test"].rows) else "val"
    points = int(config["evaluation"]["embedding_points"])
    for split in splits:
        if len(datamodule.splits[split].rows) == 0:
            continue
        outputs = predict_with_trainer(trainer, module, datamodule.predict_dataloader(split), views=views)
        tables[split], _ = tabulate(datamodule, split, outputs, match)
        if trainer.is_global_zero:
            tables[split].to_csv(run_dir / f"predictions_{split}.csv")
            attributes = {name: values[outputs.index] for name, values in datamodule.index.attributes.items()}
            features, label = run_dir / f"features_{split}.npz", tables[split].label
            group = groups_of(datamodule, tables[split])
            plane = plane_of(outputs.feature, label, points, config["seed"]) if split == reported else None
            write_features(features, outputs.index, outputs.feature, label, attributes, plane, group)
    if not trainer.is_global_zero:
        return None
    result = _result(config, datamodule, module, history, gflops, tables[reported], reported, selection)
    if counts := write_relabelled(run_dir, module.method, datamodule):
        result["relabelled"] = counts
        result["notes"] = [*result["notes"], say_relabelled(counts)]
    plot_learning_curves(run_dir / "metrics.csv", run_dir / "figures" / "learning_curves.png", selection["epoch"])
    draw_figures(run_dir, result, tables[reported], points)
    publish_result(trainer.loggers, run_dir, result, tables, datamodule)
    result["files"] = digests(run_dir, [f"predictions_{name}.csv" for name in tables])
    write_json(run_dir / "result.json", result)
    log.info("finished: %s", {k: result["metrics"][k] for k in ("accuracy", "mean_class_accuracy", "macro_f1")})
    print_result(result, run_dir)
    value: float | None = selection["value"]
    return value


def _select(
    config: Mapping[str, Any], trainer: L.Trainer, module: FERModule, datamodule: FaceDataModule
) -> dict[str, Any]:
    """Load the checkpoint selected by the protocol's rule into the module."""
    protocol = datamodule.protocol
    callback = trainer.checkpoint_callback
    assert isinstance(callback, ModelCheckpoint)
    folder = Path(str(callback.dirpath))
    monitor = selecting_monitor(config, protocol)
    selection: dict[str, Any] = {"rule": protocol.selection, "monitor": monitor, "split": "val"}
    path = folder / ("last.ckpt" if protocol.takes_last_epoch else "best.ckpt")
    if not path.is_file():
        raise UserError(
            "The run ended before its first validation, so there is no checkpoint to select. Give the run more "
            "time (trainer.max_time, trainer.max_steps), or validate earlier (trainer.val_check_interval)."
        )
    checkpoint = read_checkpoint(path)
    if protocol.takes_last_epoch:
        selection |= {"split": None, "value": None}
    else:
        score = callback.best_model_score
        selection["value"] = None if score is None else float(score)
        selection["mode"] = callback.mode
    selection["epoch"] = int(checkpoint["epoch"])
    check_storages(path, checkpoint["state_dict"].values())
    module.load_state_dict(checkpoint["state_dict"])
    return selection


def _result(
    config: Mapping[str, Any],
    datamodule: FaceDataModule,
    module: FERModule,
    history: History,
    gflops: float,
    table: Predictions,
    split: str,
    selection: Mapping[str, Any],
) -> dict[str, Any]:
    evaluation = evaluate(table)
    evaluation["metrics"] |= further_figures(build_further_metrics(config, datamodule.num_classes), table)
    precision = module.metadata["precision"]
    notes = [*evaluation["notes"], *datamodule.notes, *filter(None, [mixed_arithmetic(precision)])]
    network = module.network
    result = {
        "schema_version": SCHEMA_VERSION,
        "dataset": config["dataset"]["name"],
        "protocol": datamodule.protocol.name,
        "split": split,
        "evaluation_set": datamodule.protocol.describe(split),
        **evaluation,
        "intervals": metric_intervals(table, groups_of(datamodule, table)),
        "annotators": annotator_figures(table),
        **datamodule.fold_entry(),
        "notes": notes,
        "selection": dict(selection),
        "seed": config["seed"],
        "config": dict(config),
        "data_hash": datamodule.data_hash,
        "cost": {
            "parameters": count_parameters(network),
            "gflops": gflops,
            "epochs": len(history.rows),
            "seconds": history.seconds,
            "images_per_second": history.images_per_second,
            "peak_memory_bytes": peak_memory_bytes(),
        },
        "git": module.metadata["git"],
        "versions": versions(),
        "hardware": hardware(precision),
    }
    return dict(validate_result(result))
