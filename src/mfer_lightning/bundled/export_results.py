"""Read the results in the description of an exported model. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mfer_lightning.views import Views

#: Entries of a result that are mappings, if it has them.
_OPTIONAL = ("intervals", "cost")


def export_results(description: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the results in a description; malformed ones are left out.

    Args:
        description: content of an export's ``config.json``, or a model's metadata.

    Returns:
        Mappings with at least ``protocol``, ``split``, ``n``, ``metrics`` and ``per_class``, in the order of the file.
    """
    stored = description.get("results")
    return [result for result in stored if _well_formed(result)] if isinstance(stored, list) else []


def _well_formed(result: Any) -> bool:
    if not isinstance(result, dict) or type(result.get("n")) is not int:
        return False
    if not all(isinstance(result.get(name), str) for name in ("protocol", "split")):
        return False
    if not all(isinstance(result.get(name), dict) for name in ("metrics", "per_class")):
        return False
    if not all(isinstance(result.get(name) or {}, dict) for name in _OPTIONAL):
        return False
    rows = result["per_class"].values()
    if not all(isinstance(row, dict) and type(row.get("n")) is int for row in rows):
        return False
    if not all(map(_is_number, (v for row in (result["metrics"], *rows) for v in row.values()))):
        return False
    try:
        Views.of_metadata(result)
    except ValueError:
        return False
    return isinstance(result.get("notes") or [], list)


def _is_number(value: Any) -> bool:
    return value is None or type(value) in (int, float)
