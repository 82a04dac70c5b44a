"""The runs of a study: results with their predictions and features."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.config.path_quoting import as_typed
from mfer_lightning.damaged_arrays import DAMAGE
from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.predictions_csv import find_table
from mfer_lightning.evaluation.runs import LeftOut, StoredResult
from mfer_lightning.evaluation.schema import Result
from mfer_lightning.figures.plane import Plane
from mfer_lightning.reporting.study.axes import flatten, in_words


@dataclass(frozen=True, eq=False)
class Features:
    """The network's features of a split.

    Args:
        feature: (N,D) float32.
        label: (N,) true classes.
        attributes: attributes of the faces from the dataset, (N,) each.
        plane: t-SNE of some faces, stored by the run, or None.
    """

    feature: NDArray[np.float32]
    label: NDArray[np.int64]
    attributes: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    plane: Plane | None = None


@dataclass(frozen=True, eq=False)
class Run(StoredResult):
    """A result with its predictions.

    Args:
        flat: configuration of the run as text, without the seed.
        table: the predictions from which the result was computed, without unlabelled faces; None if they are missing or
            do not match the result.
    """

    flat: Mapping[str, str] = field(default_factory=dict)
    table: Predictions | None = None

    def features(self) -> Features | None:
        """Read ``features_<split>.npz``; None if it is missing or damaged, or its labels do not fit the classes."""
        try:
            with np.load(_features_file(self), allow_pickle=False) as file:
                stored = {name: np.asarray(file[name]) for name in file.files}  # bytes for members that are not arrays
            feature, label = stored["feature"].astype(np.float32), stored["label"].astype(np.int64)
            plane = _plane(stored, label)
        except DAMAGE:
            return None
        legal = feature.ndim == 2 and feature.size > 0 and label.shape == feature.shape[:1]
        legal = legal and bool(np.isfinite(feature).all()) and bool((label >= 0).any())
        if not legal or label.max() >= len(self.result["class_names"]):
            return None
        attributes = {
            name.removeprefix("attribute_"): values
            for name, values in stored.items()
            if name.startswith("attribute_") and values.shape == label.shape
        }
        return Features(feature, label, attributes, plane)


def open_runs(results: Sequence[StoredResult]) -> tuple[list[Run], list[LeftOut]]:
    """Create runs from results, with their predictions.

    Returns:
        The runs, and what was left out: repeated evaluations, unusable predictions, features not archived.
    """
    runs: list[Run] = []
    left_out: list[LeftOut] = []
    trained = {stored.folder.resolve(): stored for stored in results if stored.trained}
    for stored in results:
        place = _checkpoint_owner(stored)
        owner = None if place is None else trained.get(place)
        if owner is not None and _repeats(stored, owner):
            left_out.append(LeftOut(stored.folder, "repeats the evaluation of its run on the same faces"))
            continue
        table, reason = _predictions(stored)
        if reason is not None:
            left_out.append(LeftOut(stored.folder, reason))
        elif stored.kept and not _features_file(stored).is_file():
            left_out.append(LeftOut(stored.folder, "is archived without features (no embedding or compactness)"))
        result: Result = {**stored.result, "evaluation_set": _options_as_typed(stored.result["evaluation_set"])}
        runs.append(Run(stored.folder, result, stored.trained, stored.archived, _describe(stored), table))
    return runs, left_out


def _options_as_typed(evaluation_set: str) -> str:
    """Write the dataset options of an evaluation as on the command line; earlier versions wrote ``exclude=None``."""
    usual, between, options = evaluation_set.rpartition(", with ")
    words = []
    for word in re.split(r" (?=\w+=)", options):
        name, equals, value = word.partition("=")
        try:
            words.append(f"{name}{equals}{as_typed(ast.literal_eval(value))}")
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            words.append(word)
    return f"{usual}{between}{' '.join(words)}" if between else evaluation_set


def _plane(stored: Mapping[str, NDArray[Any]], label: NDArray[np.int64]) -> Plane | None:
    """Return the embedding in a features file; None if there is none, or it does not match the faces."""
    points, rows = stored.get("tsne"), stored.get("tsne_row")
    if points is None or rows is None or rows.ndim != 1 or rows.dtype.kind != "i" or not len(rows):
        return None
    if points.shape != (len(rows), 2):
        return None
    there = rows.min() >= 0 and rows.max() < len(label) and bool(np.isfinite(points).all())
    return Plane(points, rows.astype(np.int64)) if there and bool((label[rows] >= 0).all()) else None


def _features_file(stored: StoredResult) -> Path:
    return stored.folder / f"features_{stored.result['split']}.npz"


def _describe(stored: StoredResult) -> dict[str, str]:
    """Describe the method of a result: its configuration, and for an evaluation also its settings."""
    flat = flatten(stored.config)
    model = _model(stored)
    flat["trained_on"] = str(model.get("trained_on") or stored.result["protocol"])
    checkpoint = Path(str(model.get("checkpoint", "best.ckpt"))).stem
    flat["checkpoint"] = "best" if stored.trained or checkpoint == "best" else checkpoint
    if "flip" in model:
        flat["evaluation.flip"] = str(bool(model["flip"])).lower()
        flat["evaluation.shift"] = in_words(model.get("shift", 0.0))
    flat.setdefault("evaluation.shift", in_words(0.0))  # earlier versions had no shift
    return flat


def _checkpoint_owner(stored: StoredResult) -> Path | None:
    checkpoint = _model(stored).get("checkpoint")
    if stored.trained or not checkpoint:
        return None
    path = Path(str(checkpoint)).expanduser()
    if path.parent.name == "checkpoints" and path.is_file():
        return path.parent.parent.resolve()
    # the run has been moved since; its evaluations are in <run>/evaluations/<name>
    return stored.folder.resolve().parent.parent if stored.folder.parent.name == "evaluations" else None


def _repeats(stored: StoredResult, owner: StoredResult) -> bool:
    """Whether an evaluation repeats the measurement of its run."""
    mine, its = _describe(stored), _describe(owner)
    same = all(stored.result.get(key) == owner.result.get(key) for key in ("protocol", "split", "n", "evaluation_set"))
    how = ("checkpoint", "evaluation.flip", "evaluation.shift")
    return (
        same and stored.result["confusion"] == owner.result["confusion"] and all(mine.get(k) == its.get(k) for k in how)
    )


def _model(stored: StoredResult) -> Mapping[str, Any]:
    model = stored.result.get("model")
    return model if isinstance(model, Mapping) and not stored.trained else {}


def _predictions(stored: StoredResult) -> tuple[Predictions | None, str | None]:
    without = "included without comparisons and per-face figures"
    try:
        table = stored.predictions()
    except UserError as error:
        path = find_table(stored.folder, stored.result["split"]) or stored.folder
        words = str(error).removeprefix(f"{path}").lstrip(",: ").rstrip(".")
        return None, f"has a {path.name} that cannot be read ({words}), so it is {without}"
    except ValueError as error:
        return None, f"{error}: {without}"
    return table.select(table.label >= 0), None
