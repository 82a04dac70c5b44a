"""Read the results in the description of an exported model. Does not import torch."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from mfer_lightning.views import Views

#: Entries of a result that are mappings, if it has them.
_OPTIONAL = ("intervals", "cost")
#: Metrics of each class; None if undefined.
_OF_CLASS = ("precision", "recall", "f1")
#: Counts must be below this value: floating-point numbers cannot represent all larger integers exactly.
_MOST_FACES = 1 << 53


def export_results(description: Any) -> list[dict[str, Any]]:
    """Return the results in a description; malformed ones are left out.

    Args:
        description: content of an export's ``config.json``, or a model's metadata.

    Returns:
        Mappings with at least ``protocol``, ``split``, ``n``, ``metrics`` and ``per_class``, in the order of the file.
        Metrics are finite numbers or None; each class has ``n``, ``precision``, ``recall`` and ``f1``.
    """
    stored = description.get("results") if isinstance(description, Mapping) else None
    return [result for result in stored if _well_formed(result)] if isinstance(stored, list) else []


def _well_formed(result: Any) -> bool:
    if not isinstance(result, dict) or not _is_count(result.get("n")):
        return False
    if not all(isinstance(result.get(name), str) for name in ("protocol", "split")):
        return False
    if not all(isinstance(result.get(name), dict) for name in ("metrics", "per_class")):
        return False
    if not all(isinstance(result.get(name) or {}, dict) for name in _OPTIONAL):
        return False
    rows = result["per_class"].values()
    if not all(isinstance(row, dict) and _is_count(row.get("n")) and row.keys() >= {*_OF_CLASS} for row in rows):
        return False
    if not all(_is_number(value) for row in (result["metrics"], *rows) for value in row.values()):
        return False
    if not all(_is_share(result["metrics"].get(name)) for name in ("accuracy", "mean_class_accuracy")):
        return False
    if not all(map(_is_interval, (result.get("intervals") or {}).values())):
        return False
    if "confusion" in result and not _is_confusion(result["confusion"]):
        return False
    try:
        Views.of_metadata(result)
    except ValueError:
        return False
    return isinstance(result.get("notes") or [], list)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < _MOST_FACES


def _is_number(value: Any) -> bool:
    """Whether a value is None, or a number that is finite when converted to a float."""
    return value is None or (type(value) in (int, float) and abs(value) <= sys.float_info.max)  # false for NaN


def _is_share(value: Any) -> bool:
    """Whether a value is None or a number within [0, 1]."""
    return value is None or 0 <= value <= 1


def _is_interval(ends: Any) -> bool:
    """Whether a value is None, or a list or mapping whose values are finite numbers or None."""
    numbers = ends.values() if isinstance(ends, dict) else ends
    return ends is None or (isinstance(ends, (dict, list, tuple)) and all(map(_is_number, numbers)))


def _is_confusion(rows: Any) -> bool:
    """Whether a value is a square table of counts, not all 0."""
    if not isinstance(rows, list) or not all(isinstance(row, list) and len(row) == len(rows) for row in rows):
        return False
    return all(_is_count(count) for row in rows for count in row) and any(map(any, rows))
