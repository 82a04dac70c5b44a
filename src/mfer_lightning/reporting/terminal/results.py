"""Print the results of a run or a sweep.

Everything fits into 80 columns and is readable without colour.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mfer_lightning.evaluation.intervals import is_wilson, result_interval
from mfer_lightning.evaluation.statistics.seeds import mean_and_spread
from mfer_lightning.evaluation.valence_arousal import TITLES as VALENCE_AROUSAL
from mfer_lightning.plurals import counted
from mfer_lightning.reporting.terminal.tables import new_table, print_heading, print_lists

#: Entries of a sweep's row besides the varied axes.
_NOT_AXES = ("seed", "status", "result", "error", "run_dir")
_SWEEP_METRICS = {"accuracy": "accuracy", "mean_class_accuracy": "mean class", "macro_f1": "macro F1"}
#: Name and unit of the overall metrics, in printing order.
_OVERALL = {
    "mean_class_accuracy": ("mean-class accuracy", "%"),
    "macro_f1": ("macro F1", "%"),
    "weighted_f1": ("weighted F1", "%"),
    "top2_accuracy": ("top-2 accuracy", "%"),
    "cohen_kappa": ("Cohen's kappa", ""),
    "nll": ("negative log-likelihood", "nats"),
    "brier": ("Brier score", ""),
    "ece": ("calibration error (ECE)", "%"),
    "kl_to_votes": ("KL(votes || prediction)", "nats"),
    "cross_entropy_to_votes": ("cross-entropy to the votes", "nats"),
    **{name: (title, unit) for name, (title, unit, _, _) in VALENCE_AROUSAL.items()},
}
_NOT_A_TEST = "a selection result, not a test result: checkpoints are chosen on this split"


def print_result(result: Mapping[str, Any], run_dir: str | Path, console: Console | None = None) -> None:
    """Print a finished run: its protocol, its results per class and overall, and its folder.

    Args:
        result: the content of ``result.json`` (see :mod:`mfer_lightning.evaluation.schema`).
        run_dir: the run's folder; the figures found in it are listed.
        console: where to print; None is the terminal.
    """
    console = console or Console()
    _print_measured_on(result, console)
    console.print()
    _print_figures(result, console)
    console.print(escape(_selection(result["selection"])))
    console.print()
    print_places(Path(run_dir), console)


def print_evaluation(
    evaluation: Mapping[str, Any], title: str, folder: str | Path, console: Console | None = None
) -> None:
    """Print results computed from a table of predictions.

    Args:
        evaluation: result of :func:`mfer_lightning.evaluation.metrics.evaluate`.
        title: description of the table.
        folder: folder of the results.
        console: where to print; None is the terminal.
    """
    console = console or Console()
    console.print()
    console.print(f"[bold]{escape(title)}[/]: {counted(evaluation['n'], 'face')}")
    console.print()
    _print_figures(evaluation, console)
    console.print()
    print_places(Path(folder), console)


def _print_figures(evaluation: Mapping[str, Any], console: Console) -> None:
    console.print(_class_table(evaluation))
    console.print(_overall_table(evaluation))
    if not is_wilson(evaluation):
        console.print("grouped: faces of one photo or person count together.", style="dim")
    annotators = evaluation.get("annotators")
    if annotators is not None:
        console.print(
            f"A single annotator agrees with the others on {_share(annotators['single_annotator'])}% of these faces "
            "(a reference, not an upper limit).",
            style="dim",
        )
    print_lists(evaluation.get("lists", {}), console)
    for note in evaluation["notes"]:
        console.print(f"[bold]Note:[/] {escape(note)}")


def print_sweep(rows: Sequence[Mapping[str, Any]], console: Console | None = None) -> None:
    """Print a sweep as mean and spread over seeds, with one line per setting of the other axes.

    Runs with different protocols, splits or evaluation sets are never in the same table.

    Args:
        rows: one mapping per job: the values of its axes by name, and ``seed``, ``status``, ``result`` (the content of
            ``result.json``, or None) and ``error`` (why it failed, or None). An optional ``run_dir`` is not shown.
        console: where to print; None is the terminal.
    """
    console = console or Console()
    if not rows:
        console.print("The sweep has no jobs.")
    axes = _varied_axes(rows)
    failed = [row for row in rows if row.get("result") is None or row.get("error")]
    tables: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        if not any(row is lost for lost in failed):
            result = row["result"]
            key = (result["protocol"], result["split"], result["evaluation_set"], result["n"])
            tables.setdefault(key, []).append(row)
    for members in tables.values():
        settings = {_setting(row, axes): None for row in members}
        _print_measured_on(members[0]["result"], console)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for axis in axes or ["setting"]:
            table.add_column(escape(axis), overflow="fold")
        for title in _SWEEP_METRICS.values():
            table.add_column(f"{title} %", justify="right", no_wrap=True)
        table.add_column("status", overflow="fold")
        for setting in settings:
            mine = [row for row in members if _setting(row, axes) == setting]
            lost = [row for row in failed if _setting(row, axes) == setting]
            cells = [_mean_and_spread([row["result"]["metrics"].get(name) for row in mine]) for name in _SWEEP_METRICS]
            table.add_row(*(setting or ("all",)), *cells, _status(mine, lost))
        console.print(table)
    if tables:
        console.print(
            "Mean ± sample standard deviation over seeds, in per cent. A difference of this size between two "
            "settings may still be due to chance.",
            style="dim",
        )
    _print_failures(failed, axes, console)


def _print_measured_on(result: Mapping[str, Any], console: Console) -> None:
    print_heading(result, f"{counted(result['n'], 'face')}, {counted(len(result['class_names']), 'class')}", console)
    if result["split"] == "val":
        console.print(f"[bold yellow]Note:[/] {_NOT_A_TEST}.")


def _mean_and_spread(values: Sequence[float | None]) -> str:
    """Format mean and spread over seeds; a dash if any seed has no value."""
    known = [value for value in values if value is not None]
    return mean_and_spread(known if len(known) == len(values) else [])


def _class_table(result: Mapping[str, Any]) -> Table:
    table = new_table("class", "n", "precision %", "recall %", "F1 %")
    for name, figures in result["per_class"].items():
        cells = [_share(figures[key]) for key in ("precision", "recall", "f1")]
        table.add_row(escape(name), f"{figures['n']:,}", *cells)
    return table


def _overall_table(result: Mapping[str, Any]) -> Table:
    metrics = result["metrics"]
    intervals = result.get("intervals", {})  # missing in older results
    ends, how = result_interval(result, "accuracy"), "Wilson" if is_wilson(result) else "grouped"
    table = new_table("overall", "")
    table.add_column("")
    interval = "%" if ends is None else f"%  95% interval {_share(ends[0])} to {_share(ends[1])} ({how})"
    table.add_row("[bold]accuracy[/]", f"[bold]{_share(metrics['accuracy'])}[/]", interval)
    for key, (title, unit) in _OVERALL.items():
        if key in metrics:
            value = metrics[key]
            words = "–" if value is None else f"{value:.4f}"
            ends = intervals.get(key)
            table.add_row(title, _share(value) if unit == "%" else words, unit + _interval(ends, unit))
    for key in sorted(metrics.keys() - _OVERALL.keys() - {"accuracy"}):  # added by metrics=
        table.add_row(escape(key), "–" if metrics[key] is None else f"{metrics[key]:.4f}", "")
    return table


def _interval(ends: Sequence[float] | None, unit: str) -> str:
    if ends is None:
        return ""
    low, high = (_share(end) if unit == "%" else f"{end:.4f}" for end in ends)
    return f"  {low} to {high}"


def _share(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{100 * value:.2f}"


def _selection(selection: Mapping[str, Any]) -> str:
    words = f"Checkpoint: {selection['rule']}"
    if selection["epoch"] is not None:
        words += f", epoch {selection['epoch'] + 1}"  # counted from 1, as in the progress display
    if selection["monitor"] is not None and selection["value"] is not None:
        words += f", {selection['monitor']} {selection['value']:.4f}"
    return f"{words}."


def print_places(run_dir: Path, console: Console) -> None:
    """Print the folder of the results, and its figures."""
    # soft_wrap and no highlighting, so that paths can be copied
    console.print(f"Run:     {escape(_short(run_dir))}", soft_wrap=True, highlight=False)
    figures = sorted((run_dir / "figures").glob("[!.]*.png"))
    for number, figure in enumerate(figures):
        title = "Figures:" if number == 0 else "        "
        console.print(f"{title} {escape(_short(figure))}", soft_wrap=True, highlight=False)


def _short(path: Path) -> str:
    """Format a path relative to the working directory if it is inside it."""
    try:
        return os.fspath(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return os.fspath(path)


def _varied_axes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    names = dict.fromkeys(name for row in rows for name in row if name not in _NOT_AXES)
    return [name for name in names if len({str(row.get(name, "–")) for row in rows}) > 1]


def _setting(row: Mapping[str, Any], axes: Sequence[str]) -> tuple[str, ...]:
    return tuple(escape(str(row.get(axis, "–"))) for axis in axes)


def _status(done: Sequence[Mapping[str, Any]], lost: Sequence[Mapping[str, Any]]) -> str:
    # the same seed twice is not two seeds
    what = "seed" if len({row.get("seed") for row in done}) == len(done) else "run"
    total = counted(len(done) + len(lost), what)
    return f"[bold red]{len(done)} of {total}[/]" if lost else total


def _print_failures(failed: Sequence[Mapping[str, Any]], axes: Sequence[str], console: Console) -> None:
    if not failed:
        return
    console.print()
    console.print(f"[bold red]{counted(len(failed), 'job')} without a result:[/]")
    for row in failed:
        named = [f"{axis}={row[axis]}" for axis in (*axes, "seed") if row.get(axis) is not None]
        reason = str(row.get("error") or f"status {row.get('status', 'unknown')}, no reason was recorded")
        console.print(f"  {escape(' '.join(named))}: {escape(' '.join(reason.split()))}")
