"""Draw 2-D embeddings of features by class, like figures 3 and 4 of the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from mfer_lightning.evaluation.compactness import compactness
from mfer_lightning.figures.panel import draw_panel
from mfer_lightning.figures.plane import Plane, embed, stratified_subset
from mfer_lightning.figures.style import MARKER_SIZES, PAPER, bare, class_styles, new_figure
from mfer_lightning.plurals import counted


def draw_points(
    axes: Axes,
    points: NDArray[np.floating],
    label: NDArray[np.integer],
    class_names: Sequence[str],
    size: float,
    seed: int = 0,
) -> None:
    """Draw points with the colour and marker of their class; ``size`` is the area of a marker."""
    styles = class_styles(class_names)
    # draw shuffled blocks, so that large classes do not cover the others; draw rare classes last, on top
    count = np.bincount(label, minlength=len(class_names))
    rare = (count < count[count > 0].mean() / 2)[label]
    order = np.random.default_rng(seed).permutation(len(label))
    for block in (*np.array_split(order[~rare[order]], 20), order[rare[order]]):
        for k in np.unique(label[block]):
            mine = block[label[block] == k]
            colour, marker = styles[k]
            axes.scatter(
                points[mine, 0], points[mine, 1], s=size * MARKER_SIZES.get(marker, 1.0), c=colour, marker=marker,
                alpha=0.77, linewidths=0.3, edgecolors=PAPER,
            )  # fmt: skip
    bare(axes)
    axes.set_aspect("equal", adjustable="datalim")


def _add_legend(axes: Axes, names: Mapping[int, str], class_names: Sequence[str], size: float) -> None:
    """Add one legend entry per class; ``names`` maps class numbers to labels. The caller draws the legend."""
    styles = class_styles(class_names)
    for k, name in names.items():
        colour, marker = styles[k]
        axes.scatter([], [], s=size * MARKER_SIZES.get(marker, 1.0), c=colour, marker=marker, label=name)


def plot_embedding(
    features: NDArray[np.floating],
    label: NDArray[np.integer],
    class_names: Sequence[str],
    path: str | Path,
    method: str = "tsne",
    max_points: int = 1500,
    seed: int = 0,
    title: str | None = None,
    plane: Plane | None = None,
) -> None:
    """Draw a 2-D embedding of features, coloured by their true class, with the measured compactness in the heading.

    Spread, distance and their ratio are those of :mod:`mfer_lightning.evaluation.compactness`, measured on all given
    features, not on the embedding, which distorts both.

    Args:
        features: (N,D), finite.
        label: (N,) index into ``class_names``; rows with a negative label are left out.
        class_names: the K names.
        path: PNG to write.
        method: ``tsne`` or ``pca``.
        max_points: maximum number of points, stratified by class; t-SNE takes 5.2 s for 1,500 on one core.
        seed: seed of the choice of points and of the embedding.
        title: heading; None: the name of the method.
        plane: t-SNE of these features, if already computed.

    Raises:
        ValueError: if an argument is out of range.
    """
    measured = compactness(features, label)
    if label.max() >= len(class_names):
        raise ValueError(f"Expected argument `label` to be below {len(class_names)}, but got {label.max()}.")
    known = np.flatnonzero(label >= 0)
    if plane is None or method != "tsne":
        rows = known[stratified_subset(label[known], max_points, seed)]
        plane = Plane(embed(features[rows], method, seed), rows)
    points, rows, classes = plane.points, plane.rows, label[plane.rows]
    heading = title or {"tsne": "Features (t-SNE)", "pca": "Features (PCA)"}[method]
    words = f"spread within classes {measured.spread:#.3g}"
    if measured.distance is not None:
        words += f"  /  distance between class means {measured.distance:#.3g}"
    if measured.ratio is not None:
        words += f"  =  {measured.ratio:.2f}"
    samples = counted(len(known), "sample")
    drawn = f"{len(rows):,} of {samples}" if len(rows) < len(known) else f"all {samples}"

    with new_figure(path, 7.4, 6.0) as figure:
        axes = figure.add_subplot()
        draw_points(axes, points, classes, class_names, 20, seed)
        count = np.bincount(classes, minlength=len(class_names))
        _add_legend(axes, {k: f"{name} ({count[k]:,})" for k, name in enumerate(class_names)}, class_names, 45)
        unit = {"tsne": "t-SNE", "pca": "principal component"}[method]
        axes.set_xlabel(f"{unit} 1 (no unit; {drawn})")
        axes.set_ylabel(f"{unit} 2 (no unit)")
        axes.set_title(f"{heading}\n", loc="left")
        axes.text(0, 1.015, words, transform=axes.transAxes, fontsize=9, va="bottom")
        figure.legend(loc="outside right upper", title="true class (drawn)", title_fontsize=9)


def embedding_panel(
    points: NDArray[np.floating],
    label: NDArray[np.integer],
    class_names: Sequence[str],
    path: str | Path | None,
    title: str,
    below: str = "",
) -> str:
    """Draw points of a 2-D embedding by their true class as a panel.

    Args:
        points: (N,2), from :func:`embed`.
        label: (N,) index into ``class_names``.
        class_names: the K names.
        path: PNG to write, or None.
        title: heading.
        below: a line below the drawing.

    Returns:
        The panel as SVG.

    Raises:
        ValueError: if shapes disagree.
    """
    if points.shape != (len(label), 2):
        raise ValueError(f"Expected argument `points` to be of shape {(len(label), 2)}, but got {points.shape}.")
    with draw_panel(path, 3.3 + 0.17 * ((len(class_names) + 3) // 4), title) as panel:
        draw_points(panel.axes, points, label, class_names, 13)
        _add_legend(panel.axes, {k: class_names[k] for k in np.unique(label).tolist()}, class_names, 26)
        if below:
            panel.axes.set_xlabel(below, fontsize=8.5, loc="left")
        spacing = {"handletextpad": 0.1, "columnspacing": 0.6}
        panel.figure.legend(loc="outside lower left", ncols=min(4, len(class_names)), fontsize=7.8, **spacing)
    return panel.svg
