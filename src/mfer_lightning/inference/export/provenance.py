"""What a run says about the checkpoint that is exported, fit to be given away."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from mfer_lightning.evaluation.intervals import wilson
from mfer_lightning.evaluation.schema import validate_result
from mfer_lightning.inference.checkpoint_path import run_folder
from mfer_lightning.inference.model import FERModel
from mfer_lightning.views import Views

#: Of a result, what a reader of a model card needs.
_TOLD = (
    "dataset",
    "protocol",
    "split",
    "evaluation_set",
    "n",
    "metrics",
    "intervals",
    "per_class",
    "notes",
    "selection",
    "seed",
    "cost",
)


def find_results(model: FERModel) -> list[dict[str, Any]]:
    """Collect the figures of a model: its run's own and those that ``mfer evaluate`` left beside them.

    Args:
        model: a loaded model.

    Returns:
        The told parts of each ``result.json`` that is about this checkpoint, the run's own first; those that an export
        carries where the model comes from one; empty where nothing is known.
    """
    carried = model.metadata.get("results")
    if isinstance(carried, list):
        return [r for r in carried if isinstance(r, dict) and _views(r) is not None]
    run = None if model.source is None else run_folder(model.source)
    if run is None or model.source is None:
        return []
    own = _read(run / "result.json")
    found = [own] if own and own["selection"]["epoch"] == model.metadata.get("epoch") else []
    for path in sorted(run.glob("evaluations/*/result.json")):
        other = _read(path)
        same = str(other.get("model", {}).get("checkpoint", "")).endswith(model.source.name) if other else False
        if other and same and other["selection"]["epoch"] == model.metadata.get("epoch"):
            found.append(other)
    told = [(r, _views(r.get("model") or r["config"].get("evaluation") or {})) for r in found]
    return [{**{key: r[key] for key in _TOLD if key in r}, **views.to_config()} for r, views in told if views]


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(validate_result(json.loads(path.read_text(encoding="utf-8"))))
    except (OSError, ValueError):
        return {}


def _views(said: Any) -> Views | None:
    """Read what was averaged, of a training's configuration or an evaluation; None where it makes no sense."""
    try:
        return Views.of_metadata(said)
    except (ValueError, AttributeError):
        return None


def interval(result: Mapping[str, Any], metric: str) -> tuple[float, float] | None:
    """Give the 95% interval of a figure.

    Args:
        result: told parts of a result.
        metric: its name.

    Returns:
        The interval that stands in the result; for the accuracy of one that has none, Wilson's; else None.
    """
    stored = (result.get("intervals") or {}).get(metric)
    if isinstance(stored, Mapping):
        stored = (stored.get("low"), stored.get("high"))
    if isinstance(stored, (list, tuple)) and len(stored) == 2 and all(isinstance(v, (int, float)) for v in stored):
        return float(stored[0]), float(stored[1])
    value, n = result["metrics"].get(metric), result["n"]
    if metric == "accuracy" and value is not None and n > 0:
        return wilson(round(value * n), n)
    return None


def publishable(config: Mapping[str, Any]) -> dict[str, Any]:
    """Take the places of one machine out of a training's configuration.

    Args:
        config: as a checkpoint stores it.

    Returns:
        A copy in which data lie under ``data``, runs under ``runs``, and files of weights have their name alone.

    Example:
        >>> before = {"paths": {"data": "/sets"}, "dataset": {"root": "/sets/ferplus"}, "seed": 1}
        >>> publishable(before)
        {'paths': {'data': 'data', 'runs': 'runs', 'cache': None}, 'dataset': {'root': 'data/ferplus'}, 'seed': 1}
    """
    places = config.get("paths")
    data = str(places.get("data", "")) if isinstance(places, Mapping) else ""
    return {
        key: {"data": "data", "runs": "runs", "cache": None} if key == "paths" else _without_places(value, data)
        for key, value in config.items()
        if key not in ("logger", "trainer")
    }


def _without_places(value: Any, data: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_places(item, data) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_places(item, data) for item in value]
    if not isinstance(value, str):
        return value
    if data and (value == data or value.startswith(data.rstrip("/") + "/")):
        return str(PurePosixPath("data") / value[len(data) :].lstrip("/"))
    return Path(value).name if value.startswith(("/", "~")) or Path(value).is_absolute() else value
