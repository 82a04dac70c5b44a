"""Print the best trial at the end of a search."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from mfer_lightning.plurals import counted


def print_search(
    done: int,
    wanted: int,
    failed: int,
    pruned: int = 0,
    running: int = 0,
    *,
    number: int | None = None,
    value: float | None = None,
    params: Mapping[str, Any] | None = None,
    run_dir: Path | None = None,
    console: Console | None = None,
) -> None:
    """Print the best trial of a search: its metric, values and run folder, and the progress of the study.

    Args:
        done: number of results in the study.
        wanted: requested number of results.
        failed: number of trials without a result.
        pruned: number of trials among ``done`` that were pruned.
        running: number of trials running in other processes.
        number: number of the best trial; None if no trial has a result.
        value: selection metric of the best trial on val.
        params: option -> value in the best trial.
        run_dir: run folder of the best trial, if known.
        console: where to print; None is the terminal.
    """
    console = console or Console()
    console.print()
    lost = f", and {counted(failed, 'trial')} without a result" if failed else ""
    early = f", {pruned} of them pruned" if pruned else ""
    others = f"; {counted(running, 'trial is', 'trials are')} running elsewhere" if running else ""
    console.print(f"The study has {done} of {counted(wanted, 'result')}{early}{lost}{others}.")
    if number is None or value is None:
        console.print("[bold red]No trial has a result.[/]")
        return
    console.print(f"[bold]Best trial:[/] number {number}, selection metric on val {value:.4f}")
    for option, given in (params or {}).items():
        console.print(f"  {escape(option)}={escape(str(given))}", soft_wrap=True, highlight=False)
    if run_dir is not None:
        console.print(f"  in {escape(str(run_dir))}", soft_wrap=True, highlight=False)
    console.print(
        "The best of many trials looks better on val than it is, so report its test results over seeds that the "
        "search did not use.",
        style="dim",
    )
