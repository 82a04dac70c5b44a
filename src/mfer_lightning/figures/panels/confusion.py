"""A small confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from mfer_lightning.figures.panels.base import WIDTH, draw_panel
from mfer_lightning.figures.style import BLUE, INK

#: With more classes, numbers in the cells would be unreadable.
MOST_NUMBERS = 10


def plot_small_confusion(confusion: ArrayLike, class_names: Sequence[str], path: str | Path | None, title: str) -> str:
    """Draw a confusion matrix: shares of each true class in per cent.

    Args:
        confusion: (K,K) counts, rows the truth, columns the predictions; those of several seeds may be summed.
        class_names: the K names.
        path: PNG to write, or None.
        title: heading.

    Returns:
        The panel as SVG.

    Raises:
        ValueError: where the matrix is not K x K.
    """
    counts, k = np.asarray(confusion, dtype=np.float64), len(class_names)
    if counts.shape != (k, k):
        raise ValueError(f"Expected argument `confusion` to be of shape {(k, k)}, but got {counts.shape}.")
    total = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
    with draw_panel(path, WIDTH) as panel:
        axes = panel.figure.add_subplot()
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        for i, j in np.ndindex(k, k):
            cell = Rectangle(
                (j - 0.47, i - 0.47), 0.94, 0.94, facecolor=BLUE, alpha=0.06 + 0.94 * share[i, j], linewidth=0
            )
            axes.add_patch(cell)
            if k <= MOST_NUMBERS and total[i, 0] and (i == j or round(100 * share[i, j]) > 0):
                ink = "#ffffff" if share[i, j] > 0.5 else INK
                axes.text(j, i, f"{100 * share[i, j]:.0f}", ha="center", va="center", color=ink, fontsize=8)
        axes.set_xlim(-0.5, k - 0.5)
        axes.set_ylim(k - 0.5, -0.5)
        axes.set_aspect("equal")
        size = 8 if k <= MOST_NUMBERS else max(4.5, 80 / k)
        axes.set_xticks(range(k), list(class_names), rotation=45, ha="right", rotation_mode="anchor", fontsize=size)
        axes.set_yticks(range(k), list(class_names), fontsize=size)
        axes.tick_params(which="both", length=0, pad=2)
        axes.set_xlabel("predicted", fontsize=8.5)
        axes.set_ylabel("true", fontsize=8.5)
        axes.set_title(title)
    return panel.svg
