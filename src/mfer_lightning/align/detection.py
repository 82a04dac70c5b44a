"""What a detector says of a face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Detection:
    """One face in a photo.

    Args:
        box: x, y, width, height in pixels.
        landmarks: (5,2) left eye, right eye, nose, left and right mouth corner, as seen in the picture.
        score: the detector's confidence, 0 to 1.
    """

    box: tuple[float, float, float, float]
    landmarks: NDArray[np.float64]
    score: float

    @property
    def area(self) -> float:
        """Of the box, in square pixels."""
        return max(self.box[2], 0.0) * max(self.box[3], 0.0)


class Detector(Protocol):
    """Finds faces. Anything with this method can be given to an :class:`~mfer_lightning.align.aligner.Aligner`."""

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        """Find the faces of an (H,W,3) RGB picture."""
        ...
