"""Draw the faces with the most confident correct and incorrect predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from mfer_lightning.figures.style import BLUE, INK, ORANGE, bare, heading, new_figure, percent

#: Number of faces per row.
COLUMNS = 8


def surest(
    probabilities: NDArray[np.floating], label: NDArray[np.integer], count: int, right: bool
) -> NDArray[np.int64]:
    """Choose the most confident rows among the correct or among the incorrect predictions.

    Correct predictions are taken from the classes in turn, so that an easy class does not fill the figure. Incorrect
    predictions are chosen by confidence alone, because it is of interest which classes they belong to.

    Args:
        probabilities: (N,K).
        label: (N,) index into the classes; rows with a negative label are left out.
        count: maximum number of rows.
        right: choose among the correct predictions if True, among the incorrect predictions if False.

    Returns:
        Row numbers, the most confident first; possibly fewer than ``count``.

    Raises:
        ValueError: if the shapes disagree.

    Example:
        >>> p = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
        >>> surest(p, np.array([0, 0, 1, 1]), 2, right=True).tolist()
        [0, 2]
        >>> surest(p, np.array([0, 0, 1, 1]), 2, right=False).tolist()
        [3]
    """
    if probabilities.ndim != 2 or label.shape != probabilities.shape[:1]:
        raise ValueError(
            f"Expected argument `label` to be of shape {probabilities.shape[:1]}, one per row of `probabilities`, "
            f"but got {label.shape}."
        )
    said, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    rows = np.flatnonzero((label >= 0) & ((said == label) == right))
    rows = rows[np.argsort(-sure[rows], kind="stable")]
    if right:
        place = np.zeros(len(rows), dtype=np.int64)  # 0 for the most confident of each class, 1 for the second, ...
        for k in np.unique(label[rows]):
            of_class = label[rows] == k
            place[of_class] = np.arange(int(of_class.sum()))
        chosen = rows[np.argsort(place, kind="stable")][:count]
        return chosen[np.argsort(-sure[chosen], kind="stable")]
    return rows[:count]


def plot_example_grid(
    faces: Sequence[NDArray[np.uint8]],
    label: NDArray[np.integer],
    probabilities: NDArray[np.floating],
    class_names: Sequence[str],
    path: str | Path,
    title: str = "Most confident predictions",
) -> None:
    """Draw faces in two blocks, correct predictions above incorrect ones, each with its prediction.

    Args:
        faces: M uint8 images (H,W,3), RGB, of any sizes.
        label: (M,) true classes.
        probabilities: (M,K).
        class_names: the K names.
        path: PNG to write.
        title: heading.

    Raises:
        ValueError: if there are no faces, or the lengths disagree.
    """
    said = probabilities.argmax(axis=1)
    if not len(faces) == len(label) == len(said) or len(faces) == 0:
        raise ValueError(
            f"Expected arguments `faces`, `label` and `probabilities` to be of the same length, at least 1, "
            f"but got {len(faces)}, {len(label)} and {len(said)}."
        )
    blocks = [
        (words, np.flatnonzero((said == label) == right), colour)
        for words, right, colour in (("correct", True, BLUE), ("incorrect", False, ORANGE))
    ]
    blocks = [block for block in blocks if len(block[1])]
    heights = [-(-len(rows) // COLUMNS) for _, rows, _ in blocks]
    with new_figure(path, 1.28 * COLUMNS, 0.45 + 0.35 * len(blocks) + 1.6 * sum(heights)) as figure:
        heading(figure, title)
        parts = figure.subfigures(len(blocks), 1, height_ratios=heights, squeeze=False)[:, 0]
        for part, height, (words, rows, colour) in zip(parts, heights, blocks, strict=True):
            part.suptitle(f"most confident {words} predictions", x=0.01, ha="left", fontsize=10, color=colour)
            grid = part.subplots(height, COLUMNS, squeeze=False).ravel()
            for axes in grid[len(rows) :]:
                axes.set_axis_off()
            for axes, row in zip(grid, rows.tolist(), strict=False):
                names = class_names[said[row]], class_names[label[row]]
                _face(axes, faces[row], *names, float(probabilities[row, said[row]]), colour)


def _face(axes: Axes, face: NDArray[np.uint8], said: str, true: str, confidence: float, colour: str) -> None:
    axes.imshow(face, interpolation="nearest")
    bare(axes)
    axes.spines[:].set(color=colour, linewidth=1.5)
    words = f"{said} {percent(confidence, 0)}"
    axes.set_xlabel(words if said == true else f"{words}\ntruth: {true}", fontsize=8, color=INK, labelpad=3)
