"""Losses, accuracy and learning rate over the epochs of a run."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from mfer_lightning.errors import UserError
from mfer_lightning.figures.style import BLUE, GREEN, INK, ORANGE, new_figure

#: Shares, drawn in per cent; every other figure of ``train`` and ``val`` is a loss or a term of one.
_SHARES = ("accuracy", "mean_class_accuracy", "macro_f1", "weighted_f1", "top2_accuracy", "acc", "f1")
_COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9")
_DASHES = ("-", "--", ":", "-.")

#: One curve: (epoch, value) pairs, ascending.
Curve = list[tuple[int, float]]


def read_curves(metrics: str | Path | Iterable[Mapping[str, object]]) -> dict[str, Curve]:
    """Read the curves of a run from Lightning's ``metrics.csv``.

    Rows are sparse (validation and training figures of an epoch stand in different rows); the last value of an epoch
    counts. Of ``x_step`` and ``x_epoch``, which Lightning makes of one metric, the epoch's stands for ``x``.
    A learning rate (``lr-AdamW``, logged at a step) belongs to the epoch its row names, else to the next one named.

    Args:
        metrics: a file, or its rows.

    Returns:
        Name -> curve, without the columns ``epoch`` and ``step``, and without names that have no value at all.

    Raises:
        UserError: where the file cannot be read or has no column ``epoch``.

    Example:
        >>> rows = [{"epoch": "0", "val/loss": "2.0", "train/loss": ""}, {"epoch": "0", "train/loss": "2.5"}]
        >>> read_curves(rows)
        {'val/loss': [(0, 2.0)], 'train/loss': [(0, 2.5)]}
    """
    if isinstance(metrics, (str, Path)):
        try:
            with Path(metrics).open(encoding="utf-8", newline="") as file:
                rows: list[Mapping[str, object]] = list(csv.DictReader(file))
        except OSError as error:
            raise UserError(f"Cannot read the metrics {metrics}: {error.strerror or error}.") from error
    else:
        rows = list(metrics)
    if rows and not any("epoch" in row for row in rows):
        raise UserError(f"No column epoch among {', '.join(map(str, rows[0]))}: not the metrics of a training run.")
    curves: dict[str, dict[int, float]] = {}
    pending: dict[str, float] = {}
    for row in rows:
        epoch = _number(row.get("epoch"))
        values = {name: _number(cell) for name, cell in row.items() if name not in ("epoch", "step", None)}
        found = {name: value for name, value in values.items() if value is not None}
        if epoch is None:
            pending.update(found)
            continue
        for name, value in {**pending, **found}.items():
            curves.setdefault(name, {})[int(epoch)] = value
        pending = {}
    for name in [name for name in curves if name.endswith("_epoch")]:
        curves[name.removesuffix("_epoch")] = curves.pop(name)
    for name in [name for name in curves if name.endswith("_step")]:
        curve = curves.pop(name)
        curves.setdefault(name.removesuffix("_step"), curve)
    return {name: sorted(curve.items()) for name, curve in curves.items()}


def plot_learning_curves(
    metrics: str | Path | Iterable[Mapping[str, object]],
    path: str | Path,
    selected_epoch: int | None = None,
    title: str = "Learning curves",
) -> None:
    """Draw the curves of a run in panels, losses, accuracies and the learning rate, and mark the selected epoch.

    Epochs are counted from 1, as while training. Figures of the test set are not drawn, even where they were recorded:
    nobody may choose an epoch by them.

    Args:
        metrics: ``metrics.csv`` of a run, or its rows; names such as ``train/loss``, ``val/accuracy``, ``lr-AdamW``.
        path: PNG to write.
        selected_epoch: the epoch whose checkpoint was chosen, counted from 0 as in the file; None marks nothing.
        title: heading.

    Raises:
        UserError: where the file cannot be read, or holds no curve.
    """
    curves = read_curves(metrics)
    losses: dict[str, Curve] = {}
    shares: dict[str, Curve] = {}
    rates: dict[str, Curve] = {}
    for name, curve in curves.items():
        split, _, what = name.partition("/")
        if name.startswith("lr"):
            rates[name] = curve
        elif split in ("train", "val") and what:
            (shares if what.rpartition("/")[2] in _SHARES else losses)[name] = curve
    panels: list[tuple[str, dict[str, Curve]]] = [
        ("loss", losses),
        ("accuracy, F1 (%)", shares),
        ("learning rate", rates),
    ]
    panels = [panel for panel in panels if panel[1]]
    if not panels:
        raise UserError(f"No curves of train, val or lr among {', '.join(curves) or 'the metrics, which are empty'}.")

    selected = None if selected_epoch is None else selected_epoch + 1  # from here on counted from 1
    heights = [1.0 if what == "learning rate" else 2.2 for what, _ in panels]
    with new_figure(path, 8.0, 1.0 + 1.25 * sum(heights)) as figure:
        grid = figure.subplots(len(panels), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
        for axes, (what, group) in zip(grid, panels, strict=True):
            _panel(axes, what, group, selected)
            if selected is not None:
                words = f"selected: epoch {selected}" if axes is grid[0] else None
                axes.axvline(selected, color=INK, linewidth=1, linestyle=":", label=words, zorder=1)
            axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
        grid[-1].set_xlabel("epoch")
        grid[-1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        grid[0].set_title(title)


def _panel(axes: Axes, what: str, group: dict[str, Curve], selected: int | None) -> None:
    kinds = sorted({name.partition("/")[2] for name in group})
    for number, (name, curve) in enumerate(sorted(group.items())):
        split, _, kind = name.partition("/")
        if what == "learning rate":
            colour, dash = _COLOURS[number % len(_COLOURS)], _DASHES[number % len(_DASHES)]
        else:  # colour says what, line style says where: validation is drawn full, training dashed
            colour = _COLOURS[kinds.index(kind) % len(_COLOURS)]
            dash = "-" if split == "val" else "--"
        epochs, values = [epoch + 1 for epoch, _ in curve], [value for _, value in curve]
        label = name.replace("/", " ").replace("_", " ")
        axes.plot(epochs, values, color=colour, linestyle=dash, marker="o" if len(curve) == 1 else None, label=label)
        if split == "val" and selected is not None and selected in epochs:
            chosen = values[epochs.index(selected)]
            axes.plot(selected, chosen, "o", markersize=7, color=colour, markeredgecolor="white", zorder=3)
    if what.endswith("(%)"):
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
    if what == "learning rate":
        axes.set_ylim(bottom=0)
        axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    axes.set_ylabel(what)


def _number(cell: object) -> float | None:
    if cell is None or cell == "":
        return None
    try:
        value = float(str(cell))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
