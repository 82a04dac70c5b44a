"""Parts that several printed results share: tables, headings, lists of faces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mfer_lightning.plurals import counted


def new_table(first: str, *numbers: str) -> Table:
    """Create an empty table: one column for names, which may wrap, and columns of numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(escape(first), overflow="fold")
    for title in numbers:
        table.add_column(escape(title), justify="right", no_wrap=True)
    return table


def print_heading(result: Mapping[str, Any], words: str, console: Console) -> None:
    """Print the protocol and the evaluation set of a result."""
    console.print()
    console.print(f"[bold]{escape(result['protocol'])}[/], split [bold]{escape(result['split'])}[/]: {words}")
    console.print(escape(result["evaluation_set"]), style="dim")


def print_lists(lists: Mapping[str, Any], console: Console) -> None:
    """Print one line per list.

    Args:
        lists: name -> result of :func:`mfer_lightning.analysis.face_lists.list_figures`.
        console: where to print.
    """
    for name, figures in lists.items():
        subset, rest = figures["subset"], figures["rest"]
        words = f"{name}: {said(subset['accuracy'], subset['low'], subset['high'])} on {counted(subset['n'], 'face')}"
        if rest is not None:
            words += f", {said(rest['accuracy'], rest['low'], rest['high'])} on the other {rest['n']:,}"
        console.print(escape(words))


def said(value: float, low: float, high: float) -> str:
    """Format a proportion with its interval, in per cent."""
    return f"{100 * value:.1f}% ({100 * low:.1f} to {100 * high:.1f})"
