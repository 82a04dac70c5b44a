"""Build the parts that tables in the terminal have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table


def new_table(first: str, *numbers: str) -> Table:
    """Make an empty table: one column for names, which may be folded, and columns of numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(escape(first), overflow="fold")
    for title in numbers:
        table.add_column(escape(title), justify="right", no_wrap=True)
    return table


def print_heading(result: Mapping[str, Any], words: str, console: Console) -> None:
    """Print under which protocol and on which faces something was measured."""
    console.print()
    console.print(f"[bold]{escape(result['protocol'])}[/], split [bold]{escape(result['split'])}[/]: {words}")
    console.print(escape(result["evaluation_set"]), style="dim")
