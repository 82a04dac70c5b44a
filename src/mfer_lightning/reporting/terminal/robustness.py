"""Print the robustness card within 80 columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mfer_lightning.plurals import counted
from mfer_lightning.reporting.terminal.results import print_places
from mfer_lightning.reporting.terminal.tables import new_table, print_heading, print_lists, said


def print_robustness(card: Mapping[str, Any], folder: str | Path, console: Console | None = None) -> None:
    """Print a robustness card: accuracy by change and severity, means, and results on mirrored faces and face lists.

    It also states whether predictions depend on the rest of the batch.

    Args:
        card: the content of ``robustness.json``.
        folder: folder that contains it.
        console: where to print; None is the terminal.
    """
    console = console or Console()
    clean = card["clean"]
    print_heading(card, f"robustness, {counted(card['n'], 'face')}", console)
    console.print()
    if card["curves"]:
        console.print(_table(card))
    console.print(f"clean accuracy {said(clean['accuracy'], clean['low'], clean['high'])}, 95% interval")
    if card["summary"]:
        console.print(_means(card["summary"]))
    flip = card["flip"]
    console.print(
        f"mirrored: {100 * flip['equal']:.1f}% of predictions are the same; "
        f"mean total variation {flip['total_variation']:.3f}"
    )
    if card["batch"] is not None:
        console.print(escape(describe_batch(card["batch"])))
    print_lists(card["lists"], console)
    for note in card["notes"]:
        console.print(f"[bold]Note:[/] {escape(note)}")
    console.print()
    print_places(Path(folder), console)


def describe_batch(batch: Mapping[str, Any]) -> str:
    """Return a sentence on whether predictions depend on the rest of the batch.

    Args:
        batch: result of :func:`mfer_lightning.analysis.consistency.batch_invariance`.
    """
    shuffled, alone = batch["shuffled"], batch["alone"]
    if batch["passes"]:
        worst = max(shuffled["largest_difference"], alone["largest_difference"])
        return f"batch: no effect on predictions (largest difference {worst:.1e} of the largest logit)"
    words = (
        "batch: FAILS: predictions depend on the rest of the batch. Shuffled, "
        f"{shuffled['changed']} of {shuffled['n']} change; one by one, {alone['changed']} of {alone['n']}."
    )
    if batch["suspects"]:
        words += f" Layers that use batch statistics: {', '.join(batch['suspects'][:3])}."
    return words + " The results of this model are not reliable."


def _table(card: Mapping[str, Any]) -> Table:
    curves = card["curves"]
    columns = max((len(curve["points"]) for curve in curves.values()), default=0)
    table = new_table("accuracy %, by severity", *map(str, range(1, columns + 1)), "mean", "lost")
    group = None
    for kind, curve in curves.items():
        if group is not None and curve["group"] != group:
            table.add_section()
        group = curve["group"]
        values = [point["accuracy"] for point in curve["points"]]
        mean = sum(values) / len(values)
        cells = [f"{100 * value:.1f}" for value in values] + [""] * (columns - len(values))
        lost = card["clean"]["accuracy"] - mean
        table.add_row(escape(_kind(kind, curve)), *cells, f"[bold]{100 * mean:.1f}[/]", f"{100 * lost:.1f}")
    return table


def _kind(kind: str, curve: Mapping[str, Any]) -> str:
    words = kind.replace("_", " ")
    if kind == "resolution":
        words += f" ({', '.join(str(point['amount']) for point in curve['points'])} px)"
    return words


def _means(summary: Mapping[str, Any]) -> Table:
    table = new_table("mean over", "accuracy (95%)", "relative to clean (95%)")
    for name, figures in summary.items():
        words = name if figures["whole"] else f"{name}, {len(figures['kinds'])} of them"
        cells = [figures["accuracy"], figures["relative"]]
        table.add_row(words, *("–" if c is None else said(c["value"], c["low"], c["high"]) for c in cells))
    return table
