"""Draw the faces with the most suspect labels, one row per given label, each with the suggested label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.figures.contact_sheet import fit
from mfer_lightning.figures.style import INK, bare, heading, new_figure


class Suspect(NamedTuple):
    """A face and its suggested label.

    Attributes:
        face: (H,W,3) uint8 RGB.
        suggested: the suggested label.
    """

    face: NDArray[np.uint8]
    suggested: str


def plot_suspects(rows: Sequence[tuple[str, Sequence[Suspect]]], path: str | Path, title: str) -> None:
    """Draw rows of faces whose labels are suspected to be wrong.

    Args:
        rows: given label and suspects of each row; rows may differ in length.
        path: the PNG file to write.
        title: heading of the sheet.

    Raises:
        ValueError: if there are no faces.
        UserError: if the file cannot be written.
    """
    columns = max((len(suspects) for _, suspects in rows), default=0)
    if columns == 0:
        raise ValueError("Expected argument `rows` to contain suspects, but got none.")
    wide = max(1.1 + 0.95 * columns, 0.09 * len(title))  # inches; wide enough for the title
    with new_figure(path, wide, 0.7 + 1.2 * len(rows)) as figure:
        heading(figure, title)
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for (given, suspects), line in zip(rows, grid, strict=True):
            for axes in line[len(suspects) :]:
                axes.set_axis_off()
            for axes, suspect in zip(line, suspects, strict=False):
                axes.imshow(fit(suspect.face), interpolation="nearest")
                bare(axes)
                axes.set_xlabel(f"→ {suspect.suggested}", fontsize=8, color=INK, labelpad=2)
            line[0].set_ylabel(f"given\n{given}", fontsize=9, color=INK)
