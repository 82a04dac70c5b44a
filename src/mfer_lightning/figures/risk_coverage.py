"""Draw the risk-coverage curve: the error rate if only the more confident predictions are accepted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from mfer_lightning.evaluation.intervals import wilson_of_repeated
from mfer_lightning.evaluation.risk_coverage import RiskCoverage, risk_coverage
from mfer_lightning.figures.panel import draw_panel
from mfer_lightning.figures.style import BLUE, INK

#: Number of points at which the band of intervals is computed.
_POINTS = 60
#: The curve starts at this number of accepted predictions per seed. With fewer, each one changes the risk too much.
_FEWEST = 20


def draw_risk_coverage(axes: Axes, curve: RiskCoverage, seeds: int = 1) -> None:
    """Draw the error rate against the proportion of accepted predictions, with 95% intervals.

    Args:
        axes: axes to draw on.
        curve: result of :func:`mfer_lightning.evaluation.risk_coverage.risk_coverage`.
        seeds: number of times each face is in the samples. Repetitions of a face are not independent, so
            intervals count each face once.
    """
    first = min(int(np.searchsorted(curve.coverage, _FEWEST * seeds / curve.n)), len(curve.coverage) - 1)
    coverage, risk = curve.coverage[first:], curve.risk[first:]
    chosen = np.unique(np.linspace(0, len(coverage) - 1, _POINTS).round().astype(int))
    answered = np.round(coverage[chosen] * curve.n).astype(int)
    wrong = np.round(risk[chosen] * answered).astype(int)
    ends = wilson_of_repeated(wrong, answered, seeds)
    axes.fill_between(coverage[chosen], ends[:, 0], ends[:, 1], color=BLUE, alpha=0.18, linewidth=0)
    axes.plot(coverage, risk, color=BLUE, linewidth=1.4)
    axes.axhline(float(curve.risk[-1]), color=INK, linewidth=1, linestyle="--")
    axes.set(xlim=(0, 1), ylim=(0, max(0.02, 1.1 * float(ends[:, 1].max()))), ylabel="incorrect predictions (%)")
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))  # round steps, not 1.5, 2.5 or 3
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, symbol=""))


def risk_coverage_panel(
    confidence: NDArray[np.floating], right: NDArray[np.bool_], path: str | Path | None, title: str, seeds: int = 1
) -> str:
    """Draw the risk-coverage curve as a panel.

    Args:
        confidence: (N,) probabilities of the predicted classes; possibly concatenated over seeds.
        right: (N,) whether each prediction is correct.
        path: PNG to write, or None.
        title: heading.
        seeds: number of seeds whose samples are concatenated.

    Returns:
        The panel as SVG.

    Raises:
        ValueError: as in :func:`mfer_lightning.evaluation.risk_coverage.risk_coverage`.
    """
    with draw_panel(path, 2.6, title) as panel:
        draw_risk_coverage(panel.axes, risk_coverage(confidence, right), seeds)
        panel.axes.set_xlabel("predictions accepted (%)")
    return panel.svg
