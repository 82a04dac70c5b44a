"""Features in the plane, small."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.figures.panels.base import PAPER, draw_panel
from mfer_lightning.figures.style import MARKER_SIZES, class_styles


def plot_small_embedding(
    points: NDArray[np.floating],
    label: NDArray[np.integer],
    class_names: Sequence[str],
    path: str | Path | None,
    title: str,
    below: str = "",
) -> str:
    """Draw points of the plane by their true class.

    Args:
        points: (N,2), of :func:`mfer_lightning.figures.embedding.embed`.
        label: (N,) index into ``class_names``.
        class_names: the K names.
        path: PNG to write, or None.
        title: heading.
        below: a line under the drawing.

    Returns:
        The panel as SVG.

    Raises:
        ValueError: where shapes disagree.
    """
    if points.shape != (len(label), 2):
        raise ValueError(f"Expected argument `points` to be of shape {(len(label), 2)}, but got {points.shape}.")
    with draw_panel(path, 3.3 + 0.17 * ((len(class_names) + 3) // 4)) as panel:
        axes = panel.figure.add_subplot()
        styles = class_styles(class_names)
        for block in np.array_split(np.random.default_rng(0).permutation(len(label)), 12):
            for k in np.unique(label[block]):
                colour, marker = styles[k]
                mine = block[label[block] == k]
                axes.scatter(
                    points[mine, 0],
                    points[mine, 1],
                    s=13 * MARKER_SIZES.get(marker, 1.0),
                    c=colour,
                    marker=marker,
                    alpha=0.8,
                    linewidths=0.25,
                    edgecolors=PAPER,
                )
        for k in np.unique(label):
            colour, marker = styles[k]
            axes.scatter([], [], s=26 * MARKER_SIZES.get(marker, 1.0), c=colour, marker=marker, label=class_names[k])
        axes.set_xticks([])
        axes.set_yticks([])
        axes.grid(visible=False)
        axes.spines[:].set_visible(True)
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_title(title)
        if below:
            axes.set_xlabel(below, fontsize=8.5, loc="left")
        panel.figure.legend(
            loc="outside lower left", ncols=min(4, len(class_names)), handletextpad=0.1, columnspacing=0.6, fontsize=7.8
        )
    return panel.svg
