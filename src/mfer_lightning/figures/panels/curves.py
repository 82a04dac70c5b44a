"""Curves over the epochs of several methods: the mean over seeds, and a band of one standard deviation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from mfer_lightning.figures.panels.base import draw_panel
from mfer_lightning.figures.style import BLUE, GREEN, ORANGE

#: Colour and dash of each method; more than these do not fit into one panel.
_COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#7A7A7A", "#1A1A1A")
STYLES = tuple(zip(_COLOURS, ("-", "--", "-.", ":") * 2, strict=True))


@dataclass(frozen=True, eq=False)
class Band:
    """One method's curve.

    Args:
        label: of the method.
        epoch: (E,) epochs, ascending, counted from 0 as in ``metrics.csv``.
        mean: (E,) over the seeds that reached the epoch.
        deviation: (E,) their sample standard deviation, 0 of a single seed.
    """

    label: str
    epoch: NDArray[np.int64]
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]


def band(label: str, curves: Sequence[Sequence[tuple[int, float]]]) -> Band | None:
    """Join the curves of several seeds; None without any.

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


def plot_bands(
    bands: Sequence[Band],
    path: str | Path | None,
    title: str,
    unit: str,
    scale: float = 1.0,
    marks: Mapping[str, float] | None = None,
) -> str:
    """Draw curves with bands, epochs counted from 1 as while training.

    Args:
        bands: at least one, at most eight.
        path: PNG to write, or None.
        title: heading.
        unit: what the axis measures.
        scale: factor on all values.
        marks: label -> mean selected epoch, counted from 0, marked by a dot on its curve.

    Returns:
        The panel as SVG.

    Raises:
        ValueError: where there are none or too many.
    """
    if not 1 <= len(bands) <= len(STYLES):
        raise ValueError(f"Expected argument `bands` to hold 1 to {len(STYLES)} curves, but got {len(bands)}.")
    with draw_panel(path, 2.5 + 0.19 * ((len(bands) + 1) // 2)) as panel:
        axes = panel.figure.add_subplot()
        for one, (colour, dash) in zip(bands, STYLES, strict=False):
            mean, deviation = scale * one.mean, scale * one.deviation
            epochs, alone = one.epoch + 1, len(one.epoch) == 1
            axes.fill_between(epochs, mean - deviation, mean + deviation, color=colour, alpha=0.16, linewidth=0)
            axes.plot(epochs, mean, color=colour, linestyle=dash, marker="o" if alone else None, label=one.label)
            if marks and one.label in marks:
                at = marks[one.label]
                axes.plot(at + 1, np.interp(at, one.epoch, mean), "o", color=colour, markersize=5, zorder=3)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_xlabel("epoch")
        axes.set_ylabel(unit)
        axes.set_title(title)
        panel.figure.legend(loc="outside lower left", ncols=2, columnspacing=0.8, handlelength=2.0)
    return panel.svg
