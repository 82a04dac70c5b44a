"""A small reliability diagram."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.ticker import MultipleLocator, PercentFormatter
from numpy.typing import NDArray

from mfer_lightning.evaluation.calibration import reliability
from mfer_lightning.evaluation.intervals import wilson
from mfer_lightning.figures.panels.base import PAPER, draw_panel
from mfer_lightning.figures.style import BLUE, INK, ORANGE


def plot_small_reliability(
    probabilities: NDArray[np.floating], label: NDArray[np.integer], path: str | Path | None, title: str, bins: int = 10
) -> str:
    """Draw accuracy over confidence in bins of equal mass, with 95% intervals.

    Args:
        probabilities: (N,K), rows summing to 1; those of several seeds may be joined.
        label: (N,) class of each sample.
        path: PNG to write, or None.
        title: heading.
        bins: number of bins.

    Returns:
        The panel as SVG.

    Raises:
        ValueError: as :func:`mfer_lightning.evaluation.calibration.reliability`.
    """
    found = reliability(probabilities, label, bins)
    right = np.round(found.accuracy * found.count).astype(int)
    ends = np.array([wilson(int(k), int(n)) for k, n in zip(right, found.count, strict=True)])
    low = float(max(0.0, np.floor(10 * min(found.confidence.min(), ends.min())) / 10))
    with draw_panel(path, 2.9) as panel:
        axes = panel.figure.add_subplot()
        axes.plot([low, 1], [low, 1], color=INK, linewidth=1, linestyle="--")
        axes.vlines(found.confidence, found.accuracy, found.confidence, color=ORANGE, linewidth=4, alpha=0.35)
        axes.errorbar(
            found.confidence,
            found.accuracy,
            yerr=np.maximum(np.abs(ends.T - found.accuracy), 0),
            color=BLUE,
            marker="o",
            markersize=5,
            markeredgecolor=PAPER,
            markeredgewidth=0.6,
            linewidth=1.2,
            elinewidth=1,
            clip_on=False,
        )
        axes.set_xlim(low, 1)
        axes.set_ylim(low, 1)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MultipleLocator(0.2 if low < 0.6 else 0.1))
            axis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
        axes.set_xlabel("confidence (%)")
        axes.set_ylabel("accuracy (%)")
        axes.set_title(title)
    return panel.svg
