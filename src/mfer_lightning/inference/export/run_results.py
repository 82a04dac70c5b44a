"""Collect the results and the configuration of an exported checkpoint's run, without paths of this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from mfer_lightning.bundled.export_results import export_results
from mfer_lightning.evaluation.schema import validate_result
from mfer_lightning.inference.checkpoint import run_folder
from mfer_lightning.views import Views

#: Entries of a result that the model card shows.
_SHOWN = (
    *("dataset", "protocol", "split", "evaluation_set", "n", "metrics", "intervals", "per_class"),
    *("notes", "selection", "seed", "cost"),
)


def find_results(source: Path | None, metadata: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Collect the results of a model: the result of its run, and those that ``mfer evaluate`` wrote into the run.

    Args:
        source: the file that the model was read from.
        metadata: metadata of the model; for an export, its ``results`` are used.

    Returns:
        The main entries of each ``result.json`` about this checkpoint, starting with that of the run; possibly empty.
    """
    if isinstance(metadata.get("results"), list):
        return export_results(metadata)
    run = None if source is None else run_folder(source)
    if run is None or source is None:
        return []
    others = [_read(path) for path in sorted(run.glob("evaluations/*/result.json"))]
    found = [_read(run / "result.json")]
    found += [r for r in others if str(r.get("model", {}).get("checkpoint", "")).endswith(source.name)]
    found = [r for r in found if r and r["selection"]["epoch"] == metadata.get("epoch")]
    viewed = [(r, _views(r.get("model") or r["config"].get("evaluation") or {})) for r in found]
    return [{**{key: r[key] for key in _SHOWN if key in r}, **views.to_config()} for r, views in viewed if views]


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(validate_result(json.loads(path.read_text(encoding="utf-8"))))
    except (OSError, ValueError):
        return {}


def _views(said: Any) -> Views | None:
    """Read the test-time augmentation of a training run or an evaluation; None if it is malformed."""
    try:
        return Views.of_metadata(said)
    except (ValueError, AttributeError):
        return None


def publishable(config: Mapping[str, Any]) -> dict[str, Any]:
    """Remove this machine's folders from a training configuration.

    Args:
        config: the configuration stored in a checkpoint.

    Returns:
        A copy without ``logger`` and ``trainer``, in which the paths of datasets start with ``data``, the folder of the
        runs is ``runs``, and other absolute paths, e.g. of weight files, are reduced to their last component.

    Example:
        >>> before = {"paths": {"data": "/sets"}, "dataset": {"root": "/sets/ferplus"}, "seed": 1}
        >>> publishable(before)
        {'paths': {'data': 'data', 'runs': 'runs', 'cache': None}, 'dataset': {'root': 'data/ferplus'}, 'seed': 1}
    """
    paths = config.get("paths")
    data = str(paths.get("data", "")) if isinstance(paths, Mapping) else ""
    return {
        key: {"data": "data", "runs": "runs", "cache": None} if key == "paths" else without_folders(value, data)
        for key, value in config.items()
        if key not in ("logger", "trainer")
    }


def without_folders(value: Any, data: str = "") -> Any:
    """Copy plain values without this machine's folders.

    Args:
        value: a plain value (:func:`mfer_lightning.errors.is_plain`).
        data: folder of the datasets; paths inside it start with ``data`` in the copy. Other absolute paths
            are reduced to their last component.

    Example:
        >>> without_folders({"font": "/fonts/a.ttf", "p": 0.5})
        {'font': 'a.ttf', 'p': 0.5}
    """
    if isinstance(value, Mapping):
        return {key: without_folders(item, data) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_folders(item, data) for item in value]
    if not isinstance(value, str):
        return value
    if data and (value == data or value.startswith(data.rstrip("/") + "/")):
        return str(PurePosixPath("data") / value[len(data) :].lstrip("/"))
    return Path(value).name if value.startswith(("/", "~")) or Path(value).is_absolute() else value
