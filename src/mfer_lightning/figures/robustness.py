"""Draw a model's accuracy under changes of increasing severity, and on lists of hard faces."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from mfer_lightning.figures.style import BLUE, GREEN, INK, ORANGE, heading, new_figure, percent, share_axis

#: Number of panels per row.
COLUMNS = 4

_COLOURS = {
    "noise": BLUE, "blur": GREEN, "light": "#B8860B", "digital": "#AA4499", "resolution": INK, "crop": ORANGE,
}  # fmt: skip


def plot_robustness(card: Mapping[str, Any], path: str | Path, title: str = "Robustness") -> None:
    """Draw one panel per change: accuracy against severity with 95% intervals, and the clean accuracy as a line.

    Args:
        card: result of :func:`mfer_lightning.analysis.robustness_card.measure_robustness`, with ``clean`` and
            ``curves``.
        path: PNG to write.
        title: heading.

    Raises:
        ValueError: if there are no curves.
    """
    curves = card["curves"]
    if not curves:
        raise ValueError("Expected argument `card` to contain at least one curve, but got none.")
    rows = -(-len(curves) // COLUMNS)
    columns = min(COLUMNS, len(curves))
    with new_figure(path, 0.6 + 2.5 * columns, 1.0 + 2.0 * rows) as figure:
        heading(figure, title)
        grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
        for axes in grid.ravel()[len(curves) :]:
            axes.set_axis_off()
        for number, (axes, (kind, curve)) in enumerate(zip(grid.ravel(), curves.items(), strict=False)):
            _panel(axes, curve, card["clean"], _COLOURS.get(curve["group"], INK))
            axes.set_title(kind.replace("_", " "), fontsize=10, pad=3)
            axes.set_xlabel(_words(curve), fontsize=8)
            if number % columns == 0:
                axes.set_ylabel("accuracy (%)")
        clean = card["clean"]
        ends = f"[{100 * clean['low']:.1f}, {100 * clean['high']:.1f}]"
        words = f"dashed: clean faces, {percent(clean['accuracy'])} {ends}; n = {card['n']:,}"
        words += "; bands: 95% intervals"
        figure.text(0.995, 0.995, words, ha="right", va="top", fontsize=8.5, color="#555555")


def plot_lists(card: Mapping[str, Any], path: str | Path, title: str = "Lists of hard faces") -> None:
    """Draw accuracy on each list and on all other faces, with 95% intervals.

    Args:
        card: a mapping with ``lists``.
        path: PNG to write.
        title: heading.

    Raises:
        ValueError: if there are no lists.
    """
    lists = card["lists"]
    if not lists:
        raise ValueError("Expected argument `card` to contain at least one list, but got none.")
    with new_figure(path, 7.0, 1.5 + 0.62 * len(lists)) as figure:
        axes = figure.add_subplot()
        for place, figures in enumerate(lists.values()):
            for part, offset, colour in (("subset", -0.17, ORANGE), ("rest", 0.17, BLUE)):
                point = figures[part]
                if point is None:
                    continue
                axes.barh(place + offset, point["accuracy"], height=0.3, color=colour, alpha=0.8)
                ends = [point["low"], point["high"]]
                axes.plot(ends, [place + offset] * 2, color=INK, linewidth=1.3, marker="|", markersize=6)
                words = f"{percent(point['accuracy'])}  (n = {point['n']:,})"
                axes.text(1.02, place + offset, words, va="center", fontsize=9)
        axes.barh([np.nan], [np.nan], color=ORANGE, alpha=0.8, label="the list")
        axes.barh([np.nan], [np.nan], color=BLUE, alpha=0.8, label="all other faces")
        axes.set_yticks(range(len(lists)), list(lists))
        axes.set_ylim(len(lists) - 0.5, -0.5)
        share_axis(axes, "accuracy (%), with 95% interval")
        axes.set_title(title)
        figure.legend(loc="outside lower right", ncols=2)


def _panel(axes: Axes, curve: Mapping[str, Any], clean: Mapping[str, Any], colour: str) -> None:
    points = curve["points"]
    x = np.arange(len(points) + 1)
    every = [clean, *points]
    y = [100 * point["accuracy"] for point in every]
    axes.axhline(y[0], color="#8C8C8C", linewidth=1.1, linestyle="--")
    axes.fill_between(
        x, [100 * p["low"] for p in every], [100 * p["high"] for p in every], color=colour, alpha=0.18, lw=0
    )
    axes.plot(x, y, color=colour, marker="o", markersize=3.5)
    axes.set_xticks(x, ["clean", *(_amount(point["amount"]) for point in points)])
    axes.tick_params(axis="x", labelsize=7.5)
    axes.set_ylim(0, 100)


def _amount(value: float) -> str:
    """Format an amount with few characters.

    Example:
        >>> _amount(0.0537), _amount(343.27), _amount(24), _amount(1.15)
        ('.054', '343', '24', '1.15')
    """
    text = f"{value:.2g}" if abs(value) < 1 else f"{value:.3g}" if abs(value) < 10 else f"{value:.0f}"
    return text.removeprefix("0")


def _words(curve: Mapping[str, Any]) -> str:
    unit: str = curve["unit"]
    return unit if len(unit) <= 34 else unit.split(",")[0]
