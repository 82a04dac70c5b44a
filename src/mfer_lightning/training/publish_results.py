"""Send the facts of a starting run and the results of a finished run to its loggers."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import Logger
from numpy.typing import NDArray

from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.evaluation.metrics import evaluate
from mfer_lightning.evaluation.metrics_csv import read_rows
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.figures.example_grid import COLUMNS, plot_example_grid, surest
from mfer_lightning.module import FERModule
from mfer_lightning.nn.cost import count_parameters
from mfer_lightning.sweeps.identity import setting_name
from mfer_lightning.tracking import names
from mfer_lightning.tracking.publication import Examples, Publication
from mfer_lightning.tracking.run_logger import RunLogger

log = logging.getLogger("mfer_lightning")

#: Faces of each kind in the example grid.
EXAMPLES = 2 * COLUMNS


def run_facts(
    config: Mapping[str, Any], datamodule: FaceDataModule, module: FERModule, gflops: float
) -> dict[str, Any]:
    """Collect facts about a run that are not in the configuration (:data:`mfer_lightning.tracking.names.FACTS`)."""
    git = module.metadata["git"] or {}
    return {
        names.PROTOCOL: datamodule.protocol.name,
        names.SETTING: setting_name(config),
        "data_hash": datamodule.data_hash,
        "git_commit": git.get("commit"),
        "git_dirty": git.get("dirty"),
        "parameters": count_parameters(module.network),
        "gflops": gflops,
        "class_names": list(datamodule.class_names),
    }


def publish_result(
    loggers: Sequence[Logger],
    run_dir: Path,
    result: Mapping[str, Any],
    tables: Mapping[str, Predictions],
    datamodule: FaceDataModule,
) -> None:
    """Send a finished run's metrics, tables and figures to its loggers. Failures are logged and ignored.

    Args:
        loggers: loggers of the trainer; without any, nothing is done.
        run_dir: the run's folder, with its figures and checkpoints.
        result: content for ``result.json``.
        tables: predictions of each evaluated split.
        datamodule: source of the faces.
    """
    takers = [logger for logger in loggers if isinstance(logger, RunLogger)]
    if not takers:
        return
    split = result["split"]
    table = tables[split]
    last = result["selection"]["monitor"] is None
    try:
        with tempfile.TemporaryDirectory() as scratch:  # faces are for the loggers only, not for the run folder
            examples = None
            if any(taker.images for taker in takers):
                examples = _examples(table, datamodule, result, Path(scratch) / "examples.png")
            for taker in takers:
                publication = Publication(
                    result,
                    table,
                    val_metrics=evaluate(tables["val"])["metrics"] if split != "val" and "val" in tables else {},
                    setting=setting_name(result["config"]),
                    figures={path.stem: path for path in sorted((run_dir / "figures").glob("[!.]*.png"))},
                    curves=read_rows(metrics) if (metrics := run_dir / "metrics.csv").is_file() else (),
                    checkpoint=run_dir / "checkpoints" / ("last.ckpt" if last else "best.ckpt")
                    if taker.checkpoints
                    else None,
                    examples=examples if taker.images else None,
                )
                taker.publish(publication)
    except Exception as error:
        log.exception("The result could not be sent to the loggers.")
        print(f"The result could not be sent to the loggers ({error}); see log.txt.", flush=True)


def _examples(table: Predictions, datamodule: FaceDataModule, result: Mapping[str, Any], path: Path) -> Examples | None:
    probabilities = table.probabilities
    chosen = {kind: surest(probabilities, table.label, EXAMPLES, right=kind == "right") for kind in ("right", "wrong")}
    rows = np.concatenate(list(chosen.values()))
    if len(rows) == 0:
        return None
    faces = _faces(datamodule, result["split"], table.index[rows])
    title = f"Most confident predictions ({result['protocol']}, {result['split']})"
    plot_example_grid(faces, table.label[rows], probabilities[rows], table.class_names, path, title)
    return Examples(path, rows, [kind for kind, found in chosen.items() for _ in found], faces)


def _faces(datamodule: FaceDataModule, split: Any, index: NDArray[np.int64]) -> list[NDArray[np.uint8]]:
    """Return the stored faces of a split, by their rows in the index."""
    dataset = datamodule.predict_dataloader(split).dataset
    place = {int(row): position for position, row in enumerate(dataset.split.rows)}  # type: ignore[attr-defined]
    return [dataset[place[int(row)]]["image"].permute(1, 2, 0).numpy() for row in index]
