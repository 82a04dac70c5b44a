"""The reliability diagram."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from mfer_lightning.evaluation.calibration import reliability
from mfer_lightning.evaluation.intervals import wilson
from mfer_lightning.figures.style import BLUE, INK, ORANGE, new_figure, percent


def plot_reliability(
    probabilities: NDArray[np.floating],
    label: NDArray[np.integer],
    path: str | Path,
    bins: int = 15,
    title: str = "Reliability",
) -> None:
    """Draw accuracy over confidence in bins of equal mass, above the distribution of confidence.

    Args:
        probabilities: (N,K), rows summing to 1.
        label: (N,) class of each sample.
        path: PNG to write.
        bins: number of bins, as for the calibration error in the heading.
        title: heading, which the calibration error is added to.

    Raises:
        ValueError: as :func:`mfer_lightning.evaluation.calibration.reliability`.
    """
    found = reliability(probabilities, label, bins)
    confidence = np.asarray(probabilities, dtype=np.float64).max(axis=1)
    right = np.round(found.accuracy * found.count).astype(int)
    ends = np.array([wilson(int(k), int(n)) for k, n in zip(right, found.count, strict=True)])
    share = 100.0 / len(confidence)
    # nothing lies below the smallest confidence and accuracy: the room goes to where a confident model's samples are
    low = min(np.floor(10 * min(confidence.min(), ends.min())) / 10, 0.9)

    with new_figure(path, 5.6, 6.6) as figure:
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[3.6, 1])
        axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle="--", label="perfectly calibrated")
        axes.vlines(
            found.confidence, found.accuracy, found.confidence, color=ORANGE, linewidth=3, alpha=0.4, label="gap"
        )
        axes.errorbar(
            found.confidence,
            found.accuracy,
            yerr=np.maximum(np.abs(ends.T - found.accuracy), 0),
            color=BLUE,
            marker="o",
            markersize=5,
            linewidth=1.4,
            elinewidth=1,
            capsize=2,
            clip_on=False,
            label=f"bins of about {round(float(found.count.mean())):,} samples, 95% interval",
        )
        axes.set_xlim(low, 1)
        axes.set_ylim(low, 1)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
        axes.set_ylabel("accuracy (%)")
        axes.set_title(f"{title}: ECE {percent(found.error)}")
        axes.legend(loc="best")
        below.hist(
            confidence,
            bins=np.linspace(low, 1, 26).tolist(),
            weights=np.full(len(confidence), share),
            color=BLUE,
            alpha=0.75,
        )
        below.axvline(float(confidence.mean()), color=INK, linewidth=1.2)
        below.axvline(
            float(np.average(found.accuracy, weights=found.count)), color=ORANGE, linewidth=1.2, linestyle="--"
        )
        below.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
        below.set_xlabel("confidence: probability of the predicted class (%)")
        below.set_ylabel("samples (%)")
        figure.legend(below.lines, ["mean confidence", "accuracy"], loc="outside lower center", ncols=2)
