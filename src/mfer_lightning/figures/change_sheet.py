"""Draw one face under every change of the robustness suite, to show what the severities look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.figures.style import bare, heading, new_figure

#: Number of blocks side by side.
BLOCKS = 2


def plot_changes(
    face: NDArray[np.uint8],
    changed: Mapping[str, Sequence[NDArray[np.uint8]]],
    path: str | Path,
    title: str = "One face under every change",
) -> None:
    """Draw a face and its changed copies, one row per change, in two blocks side by side.

    Args:
        face: (H,W,3) uint8 RGB.
        changed: name of a change -> its faces, all of the same size, in order of increasing severity.
        path: PNG to write.
        title: heading.

    Raises:
        ValueError: if there is no change.
    """
    if not changed:
        raise ValueError("Expected argument `changed` to contain at least one change, but got none.")
    height, width = face.shape[:2]
    gap = max(1, width // 16)
    columns = 1 + max(len(faces) for faces in changed.values())
    rows = -(-len(changed) // BLOCKS)
    parts = [list(changed.items())[i * rows : (i + 1) * rows] for i in range(BLOCKS)]
    parts = [part for part in parts if part]
    with new_figure(path, 0.4 + len(parts) * (1.15 + 0.62 * columns), 0.7 + 0.64 * rows) as figure:
        heading(figure, title)
        for axes, part in zip(figure.subplots(1, len(parts), squeeze=False)[0], parts, strict=True):
            canvas = np.full((rows * (height + gap), columns * (width + gap), 3), 255, dtype=np.uint8)
            for i, (_, faces) in enumerate(part):
                for j, picture in enumerate([face, *faces]):
                    top, left = i * (height + gap), j * (width + gap)
                    canvas[top : top + height, left : left + width] = picture
            axes.imshow(canvas, interpolation="nearest")
            bare(axes, frame=False)
            middles = [i * (height + gap) + height / 2 for i in range(len(part))]
            axes.set_yticks(middles, [name.replace("_", " ") for name, _ in part])
            places = [j * (width + gap) + width / 2 for j in range(columns)]
            axes.set_xticks(places, ["clean", *map(str, range(1, columns))])
            axes.xaxis.tick_top()
