"""Print the list of trained models within 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.markup import escape

from mfer_lightning.files import said_bytes
from mfer_lightning.plurals import counted
from mfer_lightning.reporting.model_list import ListedModel
from mfer_lightning.reporting.terminal.tables import new_table, said


def print_models(
    models: Sequence[ListedModel], console: Console | None = None, *, trained_on: str | None = None
) -> None:
    """Print one table of models per evaluation set, bundled models first.

    Args:
        models: the models, in printing order.
        console: where to print; None is the terminal.
        trained_on: the dataset by which the models were filtered; named in the message if the list is empty.
    """
    console = console or Console()
    bundled, trained = [m for m in models if m.bundled], [m for m in models if not m.bundled]
    for title, listed in (("Bundled with mfer_lightning", bundled), ("Trained here", trained)):
        for section, members in groupby(listed, _section):
            console.print()
            console.print(f"[bold]{title}[/]: {escape(section)}", highlight=False)
            table = new_table("checkpoint=", "accuracy (95%)", "params", "file")
            for model in members:
                mark = " (default)" if model.default else ""
                table.add_row(escape(f"{model.name}{mark}"), *_numbers(model))
            console.print(table)
    if trained_on is not None and not models:
        console.print(f"No bundled model or finished run was trained on {escape(trained_on)}.", highlight=False)
        return
    if not bundled and trained_on is None:
        console.print("This version of mfer_lightning has no bundled model.", highlight=False)
    if not trained and trained_on is None:
        console.print("No finished run with a checkpoint was found. Create one with mfer train.", highlight=False)


def _section(model: ListedModel) -> str:
    classes = counted(len(model.class_names), "class")
    if model.protocol is None or model.n is None:
        return f"{model.dataset or 'unknown dataset'}, {classes}, without a result"
    return f"{model.protocol}, {model.split}, {counted(model.n, 'face')}, {classes}"


def _numbers(model: ListedModel) -> tuple[str, str, str]:
    accuracy = "-"
    if model.accuracy is not None:
        accuracy = f"{100 * model.accuracy:.1f}%"
        if model.interval is not None:
            accuracy = said(model.accuracy, *model.interval)
    parameters = "-" if model.parameters is None else f"{model.parameters / 1e6:.2f} M"
    return accuracy, parameters, said_bytes(model.bytes)
