"""A picture of many faces, for the eyes of whoever is about to train on them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mfer_lightning.data.facs.generator import FacsGenerator
from mfer_lightning.emotions import EMOTIONS
from mfer_lightning.files import atomic_path


def contact_sheet(
    generator: FacsGenerator, partition: str, rows: int = 8, columns: int = 10, *, path: str | Path, start: int = 0
) -> Path:
    """Write a PNG with one row of faces an emotion, its name at the left.

    Args:
        generator: of the faces.
        partition: ``"train"``, ``"val"`` or ``"test"``.
        rows: how many emotions, in the order of ``EMOTIONS``, 1 to 8.
        columns: faces an emotion, 1 or more.
        path: of the PNG.
        start: number of the first face that is looked at.

    Returns:
        The path.

    Raises:
        ValueError: where the numbers are out of range.
        UserError: where the file cannot be written.
    """
    names = EMOTIONS
    if not 1 <= rows <= len(names):
        raise ValueError(f"Expected argument `rows` to be within [1, {len(names)}], but got {rows}.")
    if columns < 1:
        raise ValueError(f"Expected argument `columns` to be 1 or more, but got {columns}.")
    size, gap = generator.size, 2
    margin = max(70, size)
    sheet = np.full((rows * (size + gap) + gap, margin + columns * (size + gap), 3), 255, np.uint8)
    filled = [0] * len(names)
    i = start
    while min(filled[:rows]) < columns:
        # Labels are cheap: only the faces that are shown are drawn.
        label = generator.label(partition, i)
        if label < rows and filled[label] < columns:
            top, left = gap + label * (size + gap), margin + filled[label] * (size + gap)
            sheet[top : top + size, left : left + size] = generator.image(partition, i)
            filled[label] += 1
        i += 1
    for row in range(rows):
        baseline = (4, gap + row * (size + gap) + size // 2 + 4)
        cv2.putText(sheet, names[row], baseline, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    _, data = cv2.imencode(".png", sheet[..., ::-1])
    target = Path(path)
    with atomic_path(target) as temporary:
        temporary.write_bytes(data.tobytes())
    return target
