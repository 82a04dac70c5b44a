"""What was measured, and on what."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from mfer_lightning.tracking.provenance import hardware, versions


def environment(threads: int) -> dict[str, Any]:
    """Describe the machine, the libraries and how busy the machine was beforehand."""
    return {
        "hardware": hardware(),
        "versions": versions(),
        "threads": threads,
        "load_average": [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None,
    }


def show(title: str, values: Any) -> None:
    """Print one part as a table of names and figures."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    for row in values if isinstance(values, list) else [values]:
        table = Table(title=title, title_justify="left", box=box.SIMPLE, show_header=False, title_style="bold")
        for name, value in flat(row).items():
            table.add_row(name.replace("_", " "), str(value))
        Console().print(table)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings.

    Example:
        >>> flat({"seconds": {"naive": 2.0, "ours": 1.0}, "ratio": 2.0})
        {'seconds: naive': 2.0, 'seconds: ours': 1.0, 'ratio': 2.0}
    """
    result: dict[str, Any] = {}
    for name, value in values.items():
        full = f"{prefix}: {name}" if prefix else name
        if isinstance(value, Mapping):
            result.update(flat(value, full))
        else:
            result[full] = value
    return result
