"""Anti-aliased drawing with subpixel coordinates."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mfer_lightning.data.facs.average_face import FloatArray
from mfer_lightning.data.facs.geometry import Figure
from mfer_lightning.data.facs.identity import Color

Image = NDArray[np.uint8]
FixedPoints = NDArray[np.int32]

_TURN = np.linspace(0.0, 2.0 * np.pi, 17)[:-1]
#: (16, 2) points on the circle of radius 1.
CIRCLE = np.stack((np.cos(_TURN), np.sin(_TURN)), axis=1)


class Canvas:
    """A supersampled image in the coordinates of one face.

    Args:
        figure: the face to draw.
        size: side of the final image; the canvas is ``figure.zoom`` times larger.
    """

    def __init__(self, figure: Figure, size: int) -> None:
        self.figure = figure
        self.side = size * figure.zoom
        self.pixels: Image = np.empty((self.side, self.side, 3), np.uint8)
        self._pen = self.side / 128 * (figure.unit / size / 0.33)

    def fill(self, points: FixedPoints, color: Color) -> None:
        """Fill a polygon of fixed-point points."""
        cv2.fillPoly(self.pixels, [points], color, cv2.LINE_AA, Figure.SHIFT)

    def stroke(self, points: FixedPoints, color: Color, width: float = 1.0, closed: bool = False) -> None:
        """Draw a line; the width is in half pixels of a 64-pixel image."""
        thickness = max(1, int(width * self._pen + 0.5))
        cv2.polylines(self.pixels, [points], closed, color, thickness, cv2.LINE_AA, Figure.SHIFT)

    def between(self, upper: str, lower: str, color: Color) -> None:
        """Fill the area between two curves of the same direction."""
        figure = self.figure
        self.fill(np.concatenate((figure.canvas(upper), figure.canvas(lower)[::-1])), color)

    def disc(self, center: FloatArray, radius: float, color: Color, squash: float = 1.0, angle: float = 0.0) -> None:
        """Fill an ellipse; the center is in pixels of the image, the radius in template units."""
        figure = self.figure
        x, y = figure.fixed(center).tolist()
        r = radius * figure.unit * figure.zoom * (1 << Figure.SHIFT)
        axes = (max(1, int(r)), max(1, int(r * squash)))
        cv2.ellipse(self.pixels, (x, y), axes, angle, 0, 360, color, -1, cv2.LINE_AA, Figure.SHIFT)
