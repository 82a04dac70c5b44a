"""Collect the data that a finished run passes to its loggers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.config.chosen import name_of
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.tracking import names


@dataclass(frozen=True)
class Examples:
    """Faces with the most confident correct and incorrect predictions.

    Args:
        grid: PNG with all these faces.
        rows: (M,) positions in the table of predictions.
        kinds: ``"right"`` or ``"wrong"``, one per row.
        faces: uint8 images (H,W,3), one per row.
    """

    grid: Path
    rows: NDArray[np.int64]
    kinds: Sequence[str]
    faces: Sequence[NDArray[np.uint8]]


@dataclass(frozen=True)
class Publication:
    """A finished run.

    Args:
        result: the content of ``result.json``.
        table: the predictions from which the result was computed.
        val_metrics: the selected checkpoint's metrics on val; empty if val is the reported split or there is none.
        setting: short name of the configuration without the seed.
        figures: name -> PNG.
        curves: rows of ``metrics.csv``.
        checkpoint: the selected checkpoint; None if it is not to be uploaded.
        examples: faces; None if they are not to be uploaded.
    """

    result: Mapping[str, Any]
    table: Predictions
    val_metrics: Mapping[str, float | None]
    setting: str
    figures: Mapping[str, Path] = field(default_factory=dict)
    curves: Sequence[Mapping[str, Any]] = ()
    checkpoint: Path | None = None
    examples: Examples | None = None

    def summary(self) -> dict[str, float]:
        """Return the defined metrics of the run, by the names of :mod:`mfer_lightning.tracking.names`."""
        result, split = self.result, self.result["split"]
        found: dict[str, Any] = {names.figure("val", metric): value for metric, value in self.val_metrics.items()}
        found |= {names.figure(split, metric): value for metric, value in result["metrics"].items()}
        found |= {names.recall(split, name): figures["recall"] for name, figures in result["per_class"].items()}
        found |= {f"{names.COST_PREFIX}{what}": value for what, value in result["cost"].items()}
        found[names.FACES] = result["n"]
        found[names.SELECTION_VALUE] = result["selection"]["value"]
        found[names.SELECTION_EPOCH] = result["selection"]["epoch"]
        return {name: value for name, value in found.items() if _is_number(value)}

    def points(self) -> dict[str, float]:
        """Return the same metrics for loggers that treat a value as a point of a curve.

        The metrics of the selected checkpoint on val have separate names, to distinguish them from those of the last
        epoch.
        """
        return {
            f"{names.SELECTED_PREFIX}{name}" if name.startswith("val/") else name: value
            for name, value in self.summary().items()
        }

    def figure_row(self) -> list[Any]:
        """Return the row of the table of metrics (:data:`~mfer_lightning.tracking.names.FIGURE_COLUMNS`)."""
        config = self.result["config"]
        parts = [name_of(config, group) for group in ("loss", "backbone", "attention")]
        figures = [self.result["metrics"].get(name) for name in names.TABLE_METRICS]
        return [self.setting, *parts, self.result["seed"], *figures]

    def class_rows(self) -> list[list[Any]]:
        """Return the table of classes (:data:`~mfer_lightning.tracking.names.CLASS_COLUMNS`)."""
        config = self.result["config"]
        about = [self.setting, name_of(config, "loss"), name_of(config, "backbone"), self.result["seed"]]
        return [
            [name, f["n"], f["precision"], f["recall"], f["f1"], *about] for name, f in self.result["per_class"].items()
        ]

    def test_curves(self) -> dict[str, list[tuple[int, float]]]:
        """Return the per-epoch test metrics recorded by ``track_test=true``: name -> pairs (epoch, value)."""
        curves: dict[str, list[tuple[int, float]]] = {}
        for row in self.curves:
            for name, value in row.items():
                if name.startswith(names.HIDDEN_PREFIX) and value not in (None, ""):
                    curves.setdefault(name, []).append((int(row[names.EPOCH]), float(value)))
        return curves


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
