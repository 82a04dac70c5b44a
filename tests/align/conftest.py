"""A detector for the faces that the tests draw."""

from __future__ import annotations

import numpy as np
import pytest

from mfer_lightning.align import DETECTORS, Detection, get_template

#: A face is a square of this colour; its brightness is its confidence.
RED = 200


class SquareDetector:
    """Finds red squares, and returns the template's points on them as landmarks."""

    def __init__(self, jitter: float = 0.0) -> None:
        self.jitter = jitter

    def detect(self, image: np.ndarray) -> list[Detection]:
        found = []
        mask = (image[:, :, 0] > 100) & (image[:, :, 1] < 60)
        for left in range(0, image.shape[1], 100):  # at most one face per 100 columns
            rows, columns = np.nonzero(mask[:, left : left + 100])
            if len(rows):
                x, y, side = columns.min() + left, rows.min(), columns.max() - columns.min() + 1
                points = np.array(get_template("face-evolve-112").points) * side / 112 + [x, y]
                found.append(Detection((x, y, side, side), points, image[y, x, 0] / 255))
        return found


@pytest.fixture
def squares(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the detector available by name."""
    monkeypatch.setattr("mfer_lightning.align.detectors.DETECTORS", {**DETECTORS, "squares": SquareDetector})


def photo(*faces: tuple[int, int, int], width: int = 300, height: int = 120) -> np.ndarray:
    """A grey photo with red squares at (x, y, side)."""
    image = np.full((height, width, 3), 128, dtype=np.uint8)
    for x, y, side in faces:
        image[y : y + side, x : x + side] = (RED, 20, 20)
        image[y + side // 4 : y + side // 2, x + side // 4 : x + side // 2] = (RED, 20, 55)
    return image
