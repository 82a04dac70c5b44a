"""What a detector module provides: a class with a declaration and a ``detect`` method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

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


@dataclass(frozen=True)
class Declaration:
    """What a user must know of a detector. Documentation and error messages are derived from it.

    Args:
        name: what it is called in ``detector.name=...``.
        paper: authors, venue, year.
        licence: of the code and of the weights.
        weights: where the weights come from.
        landmarks: what its five points are measured on.
        needs: how to get what is missing, as an instruction.
    """

    name: str
    paper: str
    licence: str
    weights: str
    landmarks: str
    needs: str


class DeclaredDetector(Detector, Protocol):
    """A detector that can be chosen by name."""

    declaration: ClassVar[Declaration]
