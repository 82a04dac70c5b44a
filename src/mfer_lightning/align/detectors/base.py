"""Interface of a detector module: a class with a declaration and a ``detect`` method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Detection:
    """A face in a photo.

    Args:
        box: x, y, width, height in pixels of the image; may extend beyond it.
        landmarks: (5,2) x, y in pixels: left eye, right eye, nose, left and right mouth corner, as seen in the image.
        score: the detector's confidence, 0 to 1.
    """

    box: tuple[float, float, float, float]
    landmarks: NDArray[np.float64]
    score: float

    @property
    def area(self) -> float:
        """Area of the box in square pixels."""
        return max(self.box[2], 0.0) * max(self.box[3], 0.0)


class Detector(Protocol):
    """A face detector. Any object with this method can be used in :class:`~mfer_lightning.align.aligner.Aligner`."""

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        """Detect the faces in an (H,W,3) uint8 RGB image."""
        ...


@dataclass(frozen=True)
class Declaration:
    """Facts about a detector, used in documentation and error messages.

    Args:
        name: its name in ``detector.name=...``.
        paper: authors, venue, year.
        licence: licence of the code and of the weights.
        weights: source of the weights.
        landmarks: how its five points are defined.
        needs: how to install missing parts, as an instruction.
    """

    name: str
    paper: str
    licence: str
    weights: str
    landmarks: str
    needs: str


class DeclaredDetector(Detector, Protocol):
    """A detector that can be selected by name."""

    declaration: ClassVar[Declaration]
