"""Describe the machine, and print the measurements."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from mfer_lightning.tracking.provenance import hardware, versions

#: Short column headings for values with long names.
_HEADS = {
    "faces_per_second": "faces/s",
    "gflops_per_second": "GFLOP/s",
    "milliseconds": "ms",
    "processor_milliseconds": "processor ms",
    "processor_seconds": "processor s",
    "share_of_gemm_ceiling": "of GEMM",
    "share_of_gemm_ceiling_of_a_core": "of GEMM, per core",
    "ratios": "ours faster by",
}


def environment(threads: int) -> dict[str, Any]:
    """Describe the machine, the libraries and the load before the measurements."""
    return {
        "hardware": hardware(),
        "versions": versions(),
        "threads": threads,
        "load_average": [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None,
    }


def show(title: str, values: Any) -> None:
    """Print the measurements of one part.

    Args:
        title: name of the part.
        values: a mapping from names to values, or a list of such mappings. A list of flat mappings is printed as one
            table. Otherwise, each mapping is printed as a list, followed by a table with one row per variant.
    """
    rows = values if isinstance(values, list) else [values]
    if len(rows) > 1 and not any(isinstance(value, Mapping) for row in rows for value in row.values()):
        _print(title, list(rows[0]), [[row.get(name, "") for name in rows[0]] for row in rows])
        return
    for row in rows:
        columns = by_variant(row)
        rest = {name: value for name, value in row.items() if name not in columns}
        _print(title, None, [[_words(name), value] for name, value in flat(rest).items()])
        if columns:
            variants = list(dict.fromkeys(variant for found in columns.values() for variant in found))
            lines = [[_words(v), *(found.get(v, "") for found in columns.values())] for v in variants]
            _print("", ["", *columns], lines)


def by_variant(row: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Select the values that are mappings from variants; the variants are those of ``seconds`` or ``faces_per_second``.

    Example:
        >>> by_variant({"batch": 8, "seconds": {"naive": 2.0, "ours": 1.0}, "ratios": {"naive": 2.0}, "x": {"y": 1}})
        {'seconds': {'naive': 2.0, 'ours': 1.0}, 'ratios': {'naive': 2.0}}
    """
    variants = set(row.get("seconds", row.get("faces_per_second", {})))
    return {k: v for k, v in row.items() if isinstance(v, Mapping) and v and variants.issuperset(v)}


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings, joining names with a colon.

    Example:
        >>> flat({"seconds": {"naive": 2.0, "ours": 1.0}, "ratio": 2.0})
        {'seconds: naive': 2.0, 'seconds: ours': 1.0, 'ratio': 2.0}
    """
    result: dict[str, Any] = {}
    for name, value in values.items():
        result |= flat(value, f"{prefix}{name}: ") if isinstance(value, Mapping) else {prefix + name: value}
    return result


def _print(title: str, heads: Sequence[str] | None, rows: Sequence[Sequence[Any]]) -> None:
    if not rows:
        return
    table = Table(title=title, title_justify="left", box=box.SIMPLE, show_header=heads is not None, title_style="bold")
    for head in heads or ():
        table.add_column(_HEADS.get(head, _words(head)), overflow="fold")
    for row in rows:
        table.add_row(*({True: "yes", False: ""}[v] if isinstance(v, bool) else str(v) for v in row))
    console = Console()
    if not console.is_terminal:  # a file or a pipe, where rich would squeeze tables into 80 columns
        console.width = 120
    console.print(table)


def _words(name: str) -> str:
    return name.replace("_", " ")
