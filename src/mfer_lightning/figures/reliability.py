"""Draw the reliability diagram: a figure with the distribution of confidence, or a panel of a report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MultipleLocator, PercentFormatter
from numpy.typing import NDArray

from mfer_lightning.evaluation.calibration import Reliability, reliability
from mfer_lightning.evaluation.intervals import wilson_of_repeated
from mfer_lightning.figures.panel import draw_panel
from mfer_lightning.figures.style import BLUE, INK, ORANGE, PAPER, new_figure, percent
from mfer_lightning.plurals import counted


def draw_reliability(axes: Axes, found: Reliability, least: float = 1.0, seeds: int = 1) -> float:
    """Draw accuracy against confidence with 95% intervals, the diagonal, and the gaps between them.

    Args:
        axes: axes to draw on.
        found: the bins.
        least: a confidence that the axes must include.
        seeds: number of times each face is in the samples; intervals count it once.

    Returns:
        The lower limit of both axes.
    """
    right = np.round(found.accuracy * found.count).astype(int)
    ends = wilson_of_repeated(right, found.count, seeds)
    # start at the smallest confidence or interval bound, to leave more room for the samples of a confident model
    lowest = min(least, found.confidence.min(), ends.min())
    low = float(np.clip(np.floor(10 * lowest) / 10, 0.0, 0.9))
    axes.plot([low, 1], [low, 1], color=INK, linewidth=1, linestyle="--", label="perfectly calibrated")
    axes.vlines(
        found.confidence, found.accuracy, found.confidence, color=ORANGE, linewidth=3.5, alpha=0.38, label="gap"
    )
    size = counted(round(float(found.count.mean())), "sample")
    axes.errorbar(
        found.confidence, found.accuracy, np.maximum(np.abs(ends.T - found.accuracy), 0),
        color=BLUE, marker="o", markersize=5, markeredgecolor=PAPER, markeredgewidth=0.6, linewidth=1.3, elinewidth=1,
        capsize=2, clip_on=False, label=f"bins of about {size}, 95% interval",
    )  # fmt: skip
    axes.set(xlim=(low, 1), ylim=(low, 1), ylabel="accuracy (%)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
    return low


def plot_reliability(
    probabilities: NDArray[np.floating],
    label: NDArray[np.integer],
    path: str | Path,
    bins: int = 15,
    title: str = "Reliability",
) -> None:
    """Draw accuracy against confidence in bins of equal mass, above the distribution of confidence.

    Args:
        probabilities: (N,K), rows summing to 1.
        label: (N,) class of each sample.
        path: PNG to write.
        bins: number of bins; also used for the calibration error in the heading.
        title: heading, to which the calibration error is added.

    Raises:
        ValueError: as in :func:`mfer_lightning.evaluation.calibration.reliability`.
    """
    found = reliability(probabilities, label, bins)
    confidence = np.asarray(probabilities, dtype=np.float64).max(axis=1)
    accuracy = float(np.average(found.accuracy, weights=found.count))
    with new_figure(path, 5.6, 6.6) as figure:
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[3.6, 1])
        low = draw_reliability(axes, found, confidence.min())
        axes.set_title(f"{title}: ECE {percent(found.error)}")
        axes.legend(loc="best")
        edges = np.linspace(low, 1, 26).tolist()
        below.hist(confidence, edges, weights=np.full(len(confidence), 100 / len(confidence)), color=BLUE, alpha=0.75)
        below.axvline(float(confidence.mean()), color=INK, linewidth=1.2)
        below.axvline(accuracy, color=ORANGE, linewidth=1.2, linestyle="--")
        below.set(xlabel="confidence: probability of the predicted class (%)", ylabel="samples (%)")
        figure.legend(below.lines, ["mean confidence", "accuracy"], loc="outside lower center", ncols=2)


def reliability_panel(
    probabilities: NDArray[np.floating],
    label: NDArray[np.integer],
    path: str | Path | None,
    title: str,
    bins: int = 10,
    seeds: int = 1,
) -> str:
    """Draw accuracy against confidence in bins of equal mass as a panel.

    Args:
        probabilities: (N,K), rows summing to 1; possibly concatenated over seeds.
        label: (N,) class of each sample.
        path: PNG to write, or None.
        title: heading.
        bins: number of bins.
        seeds: number of seeds whose samples are concatenated.

    Returns:
        The panel as SVG.

    Raises:
        ValueError: as in :func:`mfer_lightning.evaluation.calibration.reliability`.
    """
    found = reliability(probabilities, label, bins)
    with draw_panel(path, 2.9, title) as panel:
        low = draw_reliability(panel.axes, found, seeds=seeds)
        for axis in (panel.axes.xaxis, panel.axes.yaxis):
            axis.set_major_locator(MultipleLocator(0.2 if low < 0.6 else 0.1))
        panel.axes.set_xlabel("confidence (%)")
    return panel.svg
