"""Print the accuracy of each model on each dataset within 80 columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from mfer_lightning.reporting.terminal.results import print_places
from mfer_lightning.reporting.terminal.tables import new_table, said

#: Maximum number of datasets as columns; with more datasets, each pair of model and dataset gets its own row.
MOST_COLUMNS = 3
#: Maximum length of a dataset name as a column heading.
_LONGEST = 18


def print_matrix(matrix: Mapping[str, Any], folder: str | Path, console: Console | None = None) -> None:
    """Print accuracies by model and dataset, with their intervals.

    Args:
        matrix: the content of ``matrix.json``.
        folder: folder that contains it.
        console: where to print; None is the terminal.
    """
    console = console or Console()
    datasets = matrix["datasets"]
    cells = {(cell["model"], cell["dataset"]): cell for cell in matrix["cells"]}
    console.print()
    console.print(f"Accuracy, split [bold]{escape(matrix['split'])}[/] (95% intervals)")
    if len(datasets) <= MOST_COLUMNS and max(map(len, datasets)) <= _LONGEST:
        table = new_table("model", *datasets)
        for model in matrix["models"]:
            table.add_row(escape(model), *(_figure(cells[model, dataset], " *") for dataset in datasets))
    else:
        table = new_table("model on dataset", "faces", "accuracy")
        for model in matrix["models"]:
            for dataset in datasets:
                cell = cells[model, dataset]
                table.add_row(escape(f"{model} on {dataset}"), f"{cell['faces']:,}", _figure(cell, " *"))
            table.add_section()
    console.print(table)
    if any(cell["at_home"] for cell in cells.values()):
        console.print("* trained on this dataset", style="dim")
    for note in matrix["notes"]:
        console.print(f"[bold]Note:[/] {escape(note)}")
    console.print()
    print_places(Path(folder), console)


def _figure(cell: Mapping[str, Any], home: str) -> str:
    if cell["accuracy"] is None:
        return "not measured"
    mark = home if cell["at_home"] else ""
    if cell["low"] is None:
        return f"{100 * cell['accuracy']:.1f}%{mark}"
    return said(cell["accuracy"], cell["low"], cell["high"]) + mark
