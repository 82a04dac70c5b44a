"""Draw a contact sheet: named rows of faces, such as examples of each class or pairs of duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mfer_lightning.figures.style import bare, new_figure

#: Side of a face on the sheet, in pixels.
SIDE = 64


def plot_contact_sheet(rows: Sequence[tuple[str, Sequence[NDArray[np.uint8]]]], path: str | Path, title: str) -> None:
    """Draw rows of faces with their names.

    Args:
        rows: name and (H,W,3) uint8 faces of each row; rows may differ in length.
        path: the PNG file to write.
        title: heading of the sheet.

    Raises:
        ValueError: if there are no faces.
        UserError: if the file cannot be written.
    """
    columns = max((len(faces) for _, faces in rows), default=0)
    if columns == 0:
        raise ValueError("Expected argument `rows` to contain faces, but got none.")
    canvas = np.full((SIDE * len(rows), SIDE * columns, 3), 255, dtype=np.uint8)
    for i, (_, faces) in enumerate(rows):
        for j, face in enumerate(faces):
            canvas[i * SIDE : (i + 1) * SIDE, j * SIDE : (j + 1) * SIDE] = fit(face)
    names = max(1.9, 0.12 * max(len(name) for name, _ in rows))  # inches; RAF-DB's compound classes have long names
    with new_figure(path, names + 0.55 * columns, 0.6 + 0.55 * len(rows)) as figure:
        axes = figure.subplots()
        axes.imshow(canvas, interpolation="nearest")
        bare(axes, frame=False)
        axes.set_yticks(SIDE * (np.arange(len(rows)) + 0.5), [name for name, _ in rows])
        axes.set_title(title)


def fit(face: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fit an image into a square of the sheet without changing its aspect ratio."""
    height, width = face.shape[:2]
    scale = SIDE / max(height, width)
    h, w = max(1, round(height * scale)), max(1, round(width * scale))
    out = np.full((SIDE, SIDE, 3), 255, dtype=np.uint8)
    top, left = (SIDE - h) // 2, (SIDE - w) // 2
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    out[top : top + h, left : left + w] = cv2.resize(face, (w, h), interpolation=how)
    return out
