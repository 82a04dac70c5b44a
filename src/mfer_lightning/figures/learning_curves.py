"""Draw learning curves: a figure of one run, and a panel that compares methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike, NDArray

from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.metrics_csv import Curve, Metrics, read_curves
from mfer_lightning.figures.panel import draw_panel
from mfer_lightning.figures.style import BLUE, GREEN, INK, ORANGE, PAPER, new_figure

#: Proportions, drawn in per cent; all other metrics of ``train`` and ``val`` are drawn with the losses.
_SHARES = ("accuracy", "mean_class_accuracy", "macro_f1", "weighted_f1", "top2_accuracy", "acc", "f1")
_COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#7A7A7A", "#1A1A1A")
_DASHES = ("-", "--", "-.", ":")
#: Colour and dash of each method; a panel shows at most this many methods.
STYLES = tuple(zip(_COLOURS, _DASHES * 2, strict=True))


def plot_learning_curves(
    metrics: Metrics,
    path: str | Path,
    selected_epoch: int | None = None,
    title: str = "Learning curves",
) -> None:
    """Draw the losses, accuracies and learning rate of a run, and mark the selected epoch.

    Epochs are counted from 1, as in the progress display. Test metrics are not drawn, even if they were recorded,
    because they must not be used to choose an epoch.

    Args:
        metrics: ``metrics.csv`` of a run, or its rows, with names such as ``train/loss``, ``val/accuracy``,
            ``lr-AdamW``.
        path: PNG to write.
        selected_epoch: the epoch of the selected checkpoint, counted from 0 as in the file; None for no mark.
        title: heading.

    Raises:
        UserError: if the file cannot be read, or contains no curve.
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
    named = {"loss": losses, "accuracy, F1 (%)": shares, "learning rate": rates}
    panels = [(what, group) for what, group in named.items() if group]
    if not panels:
        found = ", ".join(curves) or "the metrics, which are empty"
        raise UserError(f"There are no train, val or lr curves among {found}.")

    heights = [1.0 if what == "learning rate" else 2.2 for what, _ in panels]
    with new_figure(path, 8.0, 1.0 + 1.25 * sum(heights)) as figure:
        grid = figure.subplots(len(panels), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
        for axes, (what, group) in zip(grid, panels, strict=True):
            _group(axes, what, group, selected_epoch)
            if selected_epoch is not None:
                words = f"selected: epoch {selected_epoch + 1}" if axes is grid[0] else None
                axes.axvline(selected_epoch + 1, color=INK, linewidth=1, linestyle=":", label=words, zorder=1)
            axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
        grid[-1].set_xlabel("epoch")
        grid[-1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        grid[0].set_title(title)


def _group(axes: Axes, what: str, group: dict[str, Curve], selected: int | None) -> None:
    kinds = sorted({name.partition("/")[2] for name in group})
    for number, (name, curve) in enumerate(sorted(group.items())):
        split, _, kind = name.partition("/")
        if what == "learning rate":
            colour, dash = _COLOURS[number % len(_COLOURS)], _DASHES[number % len(_DASHES)]
        else:  # colour shows the metric, line style the split: validation solid, training dashed
            colour = _COLOURS[kinds.index(kind) % len(_COLOURS)]
            dash = "-" if split == "val" else "--"
        epochs, values = zip(*curve, strict=True)
        label = name.replace("/", " ").replace("_", " ")
        chosen = selected if split == "val" and selected in epochs else None
        _draw_curve(axes, epochs, values, colour, dash, label, chosen)
    if what.endswith("(%)"):
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
    if what == "learning rate":
        axes.set_ylim(bottom=0)
        axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    axes.set_ylabel(what)


@dataclass(frozen=True, eq=False)
class Band:
    """Mean curve over the seeds of a method.

    Args:
        label: label of the method.
        epoch: (E,) epochs, ascending, counted from 0 as in ``metrics.csv``.
        mean: (E,) over the seeds that reached the epoch.
        deviation: (E,) their sample standard deviation, 0 for a single seed.
    """

    label: str
    epoch: NDArray[np.int64]
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]


def band(label: str, curves: Sequence[Curve]) -> Band | None:
    """Average the curves of several seeds; None if there are none.

    Example:
        >>> found = band("ce", [[(0, 1.0), (1, 3.0)], [(0, 2.0)]])
        >>> found.mean.tolist(), found.deviation.round(2).tolist()
        ([1.5, 3.0], [0.71, 0.0])
    """
    values: dict[int, list[float]] = {}
    for curve in curves:
        for epoch, value in curve:
            values.setdefault(epoch, []).append(value)
    if not values:
        return None
    epochs = sorted(values)
    deviation = [float(np.std(values[e], ddof=1)) if len(values[e]) > 1 else 0.0 for e in epochs]
    return Band(label, np.array(epochs), np.array([np.mean(values[e]) for e in epochs]), np.array(deviation))


def curves_panel(
    bands: Sequence[Band],
    path: str | Path | None,
    title: str,
    unit: str,
    scale: float = 1.0,
    marks: Mapping[str, float] | None = None,
) -> str:
    """Draw one curve per method as a panel: the mean over seeds, with a band of one standard deviation.

    Args:
        bands: the curves, at least one and at most eight.
        path: PNG to write, or None.
        title: heading.
        unit: label of the y axis.
        scale: factor for all values.
        marks: label -> mean selected epoch, counted from 0, marked by a dot on the curve.

    Returns:
        The panel as SVG.

    Raises:
        ValueError: if there are no curves, or too many.
    """
    if not 1 <= len(bands) <= len(STYLES):
        raise ValueError(f"Expected argument `bands` to contain 1 to {len(STYLES)} curves, but got {len(bands)}.")
    with draw_panel(path, 2.5 + 0.19 * ((len(bands) + 1) // 2), title) as panel:
        axes = panel.axes
        for one, (colour, dash) in zip(bands, STYLES, strict=False):
            mean, deviation = scale * one.mean, scale * one.deviation
            axes.fill_between(one.epoch + 1, mean - deviation, mean + deviation, color=colour, alpha=0.16, linewidth=0)
            chosen = None if marks is None else marks.get(one.label)
            _draw_curve(axes, one.epoch, mean, colour, dash, one.label, chosen)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set(xlabel="epoch", ylabel=unit)
        panel.figure.legend(loc="outside lower left", ncols=2, columnspacing=0.8, handlelength=2.0)
    return panel.svg


def _draw_curve(
    axes: Axes, epoch: ArrayLike, values: ArrayLike, colour: str, dash: str, label: str, chosen: float | None
) -> None:
    """Draw a curve, with a dot at the selected epoch. The given epochs are counted from 0, the drawn ones from 1."""
    x, y = np.asarray(epoch) + 1, np.asarray(values)
    axes.plot(x, y, color=colour, linestyle=dash, marker="o" if len(x) == 1 else None, label=label)
    if chosen is not None:
        at = chosen + 1
        axes.plot(at, np.interp(at, x, y), "o", color=colour, markersize=6, markeredgecolor=PAPER, zorder=3)
