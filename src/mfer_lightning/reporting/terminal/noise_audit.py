"""Print a label audit within 80 columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from mfer_lightning.plurals import counted
from mfer_lightning.reporting.terminal.results import print_places
from mfer_lightning.reporting.terminal.tables import new_table, said

#: Maximum number of pairs of labels in the table; the other pairs are added up in one row.
PAIRS = 12


def print_noise_audit(found: Mapping[str, Any], folder: str | Path, console: Console | None = None) -> None:
    """Print an audit: how many labels are suspected, for which pairs of labels, and how accurate the list is.

    Args:
        found: the content of ``noise.json``.
        folder: folder that contains it.
        console: where to print; None is the terminal.
    """
    console = console or Console()
    judges = found["judges"]
    each = str(judges["least"]) if judges["least"] == judges["most"] else f"{judges['least']} to {judges['most']}"
    console.print()
    console.print(
        f"[bold]{escape(found['protocol'])}[/], training labels: {counted(found['faces'], 'face')}, each judged by "
        f"{each} of {counted(len(found['checkpoints']), 'network')} not trained on it"
    )
    rate = f"{100 * found['estimated_rate']:.1f}%"
    console.print(
        f"{counted(found['suspected'], 'label is', 'labels are')} suspected; estimated fraction of wrong labels: {rate}"
    )
    if found["pairs"]:
        table = new_table("given -> suggested", "faces")
        for pair in found["pairs"][:PAIRS]:
            table.add_row(escape(f"{pair['given']} -> {pair['suggested']}"), f"{pair['faces']:,}")
        rest = found["pairs"][PAIRS:]
        if rest:
            table.add_row(counted(len(rest), "further pair"), f"{sum(pair['faces'] for pair in rest):,}")
        console.print(table)
    if "truth" in found:
        _print_truth(found["truth"], console)
    if "votes" in found:
        _print_votes(found["votes"], found["suspected"], console)
    console.print()
    print_places(Path(folder), console)
    if found["suspected"]:
        console.print(
            "Look at figures/suspects.png before you use the list: it also contains hard faces with correct labels.",
            style="dim",
        )


def _print_truth(truth: Mapping[str, Any], console: Console) -> None:
    console.print(f"Known to be wrong: {truth['wrong']:,} of {counted(truth['faces'], 'label')} (95% intervals):")
    listed, best = truth["listed"], truth["at_precision"]
    if listed["precision"] is not None:
        console.print(f"  listed labels that are wrong        {_share(listed['precision'])}")
        console.print(f"  wrong labels that are listed        {_share(listed['recall'])}")
        rightly, of = truth["suggested_rightly"], listed["precision"]["right"]
        console.print(f"  of these, true label is suggested   {100 * rightly / of if of else 0:.1f}%")
    if best["recall"] is not None:
        words = f"{_share(best['recall'])} with the first {best['k']:,}"
        console.print(f"  recall at {100 * best['precision']:.0f}% precision             {words}")
    table = new_table("top of the list", "wrong labels")
    for row in truth["precision_at"]:
        table.add_row(f"{row['k']:,}", _share(row))
    console.print(table)


def _print_votes(votes: Mapping[str, Any], suspected: int, console: Console) -> None:
    known = {part: shares for part, shares in votes.items() if isinstance(shares, dict) and shares["given"] is not None}
    if "suspected" in known:
        given, suggested = (f"{100 * known['suspected'][label]:.0f}%" for label in ("given", "suggested"))
        console.print(f"Annotators' votes, suspected: {given} for the given label, {suggested} for the suggested one")
    if "others" in known:
        console.print(f"                   others:    {100 * known['others']['given']:.0f}% for the given label")
    if suspected:
        more = votes["suggested_has_more"]
        console.print(
            f"More votes for the suggested label than for the given one: {more:,} of {suspected:,} "
            f"({100 * more / suspected:.0f}%)"
        )


def _share(share: Mapping[str, Any] | None) -> str:
    return "none" if share is None else said(share["value"], share["low"], share["high"])
