"""The confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from mfer_lightning.figures.style import INK, new_figure


def plot_confusion(
    confusion: ArrayLike, class_names: Sequence[str], path: str | Path, title: str = "Confusion matrix"
) -> None:
    """Draw a confusion matrix: shares of each true class as shade and figure, counts below them.

    Args:
        confusion: (K,K) counts, rows the truth, columns the predictions.
        class_names: the K names.
        path: PNG to write.
        title: heading.

    Raises:
        ValueError: where the matrix is not K x K or holds a negative number.
    """
    counts = np.asarray(confusion, dtype=np.int64)
    k = len(class_names)
    if counts.shape != (k, k):
        raise ValueError(f"Expected argument `confusion` to be of shape {(k, k)}, but got {counts.shape}.")
    if (counts < 0).any():
        raise ValueError(f"Expected argument `confusion` to hold counts, but got {counts.min()}.")
    total = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)

    side = max(4.6, 1.8 + 0.72 * k)
    numbers = k <= 16  # beyond that they would be unreadable
    with new_figure(path, side + 0.9, side) as figure:
        axes = figure.add_subplot()
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(k), class_names, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(k), [f"{name} ({n:,})" for name, n in zip(class_names, total[:, 0], strict=True)])
        axes.set_xticks(np.arange(k - 1) + 0.5, minor=True)
        axes.set_yticks(np.arange(k - 1) + 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=1.5)
        axes.tick_params(which="both", length=0)
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class (samples)")
        axes.set_title(title)
        for i, j in np.ndindex(k, k) if numbers else ():
            if counts[i, j] == 0 and i != j:
                continue
            ink = "white" if share[i, j] > 0.55 else INK
            label = f"{100 * share[i, j]:.1f}" if total[i, 0] else "–"
            axes.text(j, i - 0.1, label, ha="center", va="center", color=ink, fontsize=10)
            axes.text(j, i + 0.23, f"{counts[i, j]:,}", ha="center", va="center", color=ink, fontsize=7.5)
        bar = figure.colorbar(image, ax=axes, shrink=0.8, pad=0.02, format=lambda value, _: f"{100 * value:.0f}")
        bar.set_label("share of the true class (%)")
        bar.outline.set_visible(False)
