"""Print the findings of `mfer data`, or convert them to plain values for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from mfer_lightning.data.doctor import Examination
from mfer_lightning.data.doctor.examine import DIMENSIONS
from mfer_lightning.plurals import counted
from mfer_lightning.reporting.terminal.tables import new_table

_COLOURS = {"error": "bold red", "warning": "bold yellow", "info": "bold"}
_VERDICTS = {0: "healthy", 1: "usable, with the warnings above", 2: "unusable"}


def print_examination(
    found: Examination,
    sheet: Path | None,
    lists: Mapping[Path, int] | None = None,
    console: Console | None = None,
    preview: Path | None = None,
) -> None:
    """Print an examination: dataset, counts by class and split, image properties, findings, verdict.

    Args:
        found: the examination.
        sheet: file of the contact sheet, or None.
        lists: file with a list of shared faces -> number of faces in the list.
        console: where to print; None is the terminal.
        preview: file of the sheet of augmented faces, or None.
    """
    console = console or Console()
    console.print()
    console.print(f"[bold]{escape(found.protocol)}[/]: {escape(found.layout)}", highlight=False)
    console.print(escape(found.root), style="dim", soft_wrap=True, highlight=False)
    table = new_table("class", *found.counts)
    for k, name in enumerate(found.class_names):
        table.add_row(escape(name), *(f"{counts[k]:,}" for counts in found.counts.values()))
    table.add_section()
    table.add_row("[bold]all[/]", *(f"[bold]{sum(counts):,}[/]" for counts in found.counts.values()))
    console.print(table)
    if found.looks:
        looks = found.looks
        sizes = ", ".join(f"{size} ({n:,})" for size, n in looks["sizes"].items())
        more = f" and {counted(looks['different_sizes'] - 5, 'more size')}" if looks["different_sizes"] > 5 else ""
        mean = ", ".join(f"{v:.3f}" for v in looks["mean"])
        console.print(
            f"{counted(looks['images'], 'image')} read: {sizes}{more}; {looks['grey']:,} greyscale; mean RGB {mean}"
        )
        console.print()
    for split, counts in found.valence_arousal.items():
        if counts["faces"]:
            said = "; ".join(_known(name, counts[name]) for name in DIMENSIONS)
            console.print(f"Valence and arousal, {split}: {said}", highlight=False)
    for finding in found.findings:
        colour = _COLOURS[finding.severity]
        console.print(f"[{colour}]{finding.severity}[/] {escape(finding.message)} {escape(finding.advice)}".rstrip())
        for example in finding.examples[:3]:
            console.print(f"    {escape(example)}", style="dim", soft_wrap=True, highlight=False)
    console.print(f"\nVerdict: [bold]{_VERDICTS[found.exit_code]}[/].")
    if sheet is not None:
        console.print(f"Contact sheet: {escape(str(sheet))}", soft_wrap=True, highlight=False)
    if preview is not None:
        console.print(f"Augmented faces: {escape(str(preview))}", soft_wrap=True, highlight=False)
    for file, count in (lists or {}).items():
        console.print(f"Shared faces: {escape(str(file))} ({count:,})", soft_wrap=True, highlight=False)


def _known(name: str, found: Mapping[str, Any]) -> str:
    between = "" if found["range"] is None else " ({:.2f} to {:.2f})".format(*found["range"])
    return f"{name} known for {counted(found['known'], 'face')}{between}"


def as_json(found: Examination) -> dict[str, Any]:
    """Return everything except the images as plain values."""
    return {
        "exit_code": found.exit_code,
        "dataset": found.dataset,
        "layout": found.layout,
        "root": found.root,
        "protocol": found.protocol,
        "class_names": list(found.class_names),
        "counts": found.counts,
        "looks": found.looks,
        "valence_arousal": found.valence_arousal,
        "findings": [asdict(finding) for finding in found.findings],
    }
