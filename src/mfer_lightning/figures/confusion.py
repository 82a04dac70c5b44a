"""Draw the confusion matrix: a figure with counts, or a panel of a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray

from mfer_lightning.figures.panel import WIDTH, draw_panel
from mfer_lightning.figures.style import BLUE, INK, bare, new_figure

#: Maximum number of classes with readable numbers in the cells, in the figure and in a panel.
MOST_NUMBERS, MOST_SMALL_NUMBERS = 16, 10
#: Opacity of cells of 0% and 100%. The colour bar shows the resulting colours on white.
_FAINT, _FULL = 0.06, 1.0
_SHADES = LinearSegmentedColormap.from_list("shares", [tuple(1 - _FAINT * (1 - np.array(to_rgb(BLUE)))), to_rgb(BLUE)])


def draw_confusion(axes: Axes, confusion: ArrayLike, class_names: Sequence[str], *, small: bool) -> NDArray[np.int64]:
    """Draw the proportion of each true class as shade and number; if not ``small``, also the counts.

    Returns:
        (K,K) the validated counts.

    Raises:
        ValueError: if the matrix is not K x K or contains a negative number.
    """
    counts, k = np.asarray(confusion, dtype=np.int64), len(class_names)
    if counts.shape != (k, k):
        raise ValueError(f"Expected argument `confusion` to be of shape {(k, k)}, but got {counts.shape}.")
    if (counts < 0).any():
        raise ValueError(f"Expected argument `confusion` to contain counts, but got {counts.min()}.")
    total = counts.sum(axis=1)
    share = np.divide(counts, total[:, None], out=np.zeros(counts.shape), where=total[:, None] > 0)
    numbers = k <= (MOST_SMALL_NUMBERS if small else MOST_NUMBERS)
    for i, j in np.ndindex(k, k):
        opacity = _FAINT + (_FULL - _FAINT) * share[i, j]
        axes.add_patch(Rectangle((j - 0.48, i - 0.48), 0.96, 0.96, facecolor=BLUE, alpha=opacity, linewidth=0))
        ink = "#ffffff" if share[i, j] > 0.5 else INK
        if numbers and small and total[i] and (i == j or round(100 * share[i, j]) > 0):
            axes.text(j, i, f"{100 * share[i, j]:.0f}", ha="center", va="center", color=ink, fontsize=8)
        elif numbers and not small and (counts[i, j] or i == j):
            label = f"{100 * share[i, j]:.1f}" if total[i] else "–"
            axes.text(j, i - 0.1, label, ha="center", va="center", color=ink, fontsize=10)
            axes.text(j, i + 0.23, f"{counts[i, j]:,}", ha="center", va="center", color=ink, fontsize=7.5)
    bare(axes, frame=False)
    axes.set_aspect("equal")
    axes.set(xlim=(-0.5, k - 0.5), ylim=(k - 0.5, -0.5))
    rows = list(class_names) if small else [f"{name} ({n:,})" for name, n in zip(class_names, total, strict=True)]
    size = (8 if k <= MOST_SMALL_NUMBERS else max(4.5, 80 / k)) if small else 9
    axes.set_xticks(range(k), list(class_names), rotation=40, ha="right", rotation_mode="anchor", fontsize=size)
    axes.set_yticks(range(k), rows, fontsize=size)
    axes.tick_params(length=0, pad=2 if small else 3.5)
    return counts


def plot_confusion(
    confusion: ArrayLike, class_names: Sequence[str], path: str | Path, title: str = "Confusion matrix"
) -> None:
    """Draw a confusion matrix: proportions of each true class as shade and number, with the counts below.

    Args:
        confusion: (K,K) counts, with true classes as rows and predictions as columns.
        class_names: the K names.
        path: PNG to write.
        title: heading.

    Raises:
        ValueError: if the matrix is not K x K or contains a negative number.
    """
    side = max(4.6, 1.8 + 0.72 * len(class_names))
    with new_figure(path, side + 0.9, side) as figure:
        axes = figure.add_subplot()
        draw_confusion(axes, confusion, class_names, small=False)
        axes.set(xlabel="predicted class", ylabel="true class (samples)", title=title)
        shades = ScalarMappable(cmap=_SHADES)
        bar = figure.colorbar(shades, ax=axes, shrink=0.8, pad=0.02, format=lambda value, _: f"{100 * value:.0f}")
        bar.set_label("share of the true class (%)")
        bar.outline.set_visible(False)


def confusion_panel(confusion: ArrayLike, class_names: Sequence[str], path: str | Path | None, title: str) -> str:
    """Draw a confusion matrix as a panel: proportions of each true class in per cent.

    Args:
        confusion: (K,K) counts, with true classes as rows and predictions as columns; possibly summed over seeds.
        class_names: the K names.
        path: PNG to write, or None.
        title: heading.

    Returns:
        The panel as SVG.

    Raises:
        ValueError: if the matrix is not K x K or contains a negative number.
    """
    with draw_panel(path, WIDTH, title) as panel:
        draw_confusion(panel.axes, confusion, class_names, small=True)
        panel.axes.set_xlabel("predicted", fontsize=8.5)
        panel.axes.set_ylabel("true", fontsize=8.5)
    return panel.svg
