"""Compute the curves of a face in the image from action units, personal traits and a pose."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.data.facs.average_face import CURVES, INDEX, POINTS, FloatArray, rows, trace
from mfer_lightning.data.facs.blendshapes import UNIT_BASIS
from mfer_lightning.data.facs.traits import TRAIT_BASIS

_REST = POINTS.reshape(-1)
_UNITS = UNIT_BASIS.reshape(-1, POINTS.size)
_TRAITS = TRAIT_BASIS.reshape(-1, POINTS.size)
#: Pairs that may touch but not cross: upper and lower lid, inner edges of upper and lower lip.
_ABOVE = np.array(rows("lid_up.R[1:]", "lid_up.L[1:]", "lip_iu.R", "lip_iu.L", "lip_iu0"))
_BELOW = np.array(rows("lid_lo.R[1:]", "lid_lo.L[1:]", "lip_il.R", "lip_il.L", "lip_il0"))
#: Minimum lip thickness: the outer edges stay clear of the inner ones.
_LIPS = np.array(rows("lip_ou.R", "lip_ou.L", "lip_ou0", "lip_ol.R", "lip_ol.L", "lip_ol0"))
_INNER = np.array(rows("lip_iu.R", "lip_iu.L", "lip_iu0", "lip_il.R", "lip_il.L", "lip_il0"))
_FLESH = np.array([-0.02] * 5 + [0.025] * 5)


@dataclass(frozen=True)
class Pose:
    """Position and direction of the head.

    Args:
        yaw: turn to the image's right, in degrees.
        pitch: nod downwards, in degrees.
        roll: tilt clockwise in the image, in degrees.
        scale: pixels per unit of the template, as a fraction of the image side (0.33 fills the image).
        x: horizontal centre of the head, as a fraction of the side.
        y: vertical centre, from the top.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    scale: float = 0.33
    x: float = 0.5
    y: float = 0.5

    def rotation(self) -> FloatArray:
        """Return the (3, 3) rotation of the head: pitch first, then yaw, then roll."""
        cx, sx = math.cos(math.radians(self.pitch)), math.sin(math.radians(self.pitch))
        cy, sy = math.cos(math.radians(self.yaw)), math.sin(math.radians(self.yaw))
        cz, sz = math.cos(math.radians(self.roll)), math.sin(math.radians(self.roll))
        nod = np.array([[1.0, 0.0, 0.0], [0.0, cx, sx], [0.0, -sx, cx]])
        turn = np.array([[cy, 0.0, sy], [0.0, 1.0, 0.0], [-sy, 0.0, cy]])
        tilt = np.array([[cz, -sz, 0.0], [sz, cz, 0.0], [0.0, 0.0, 1.0]])
        return np.asarray(tilt @ turn @ nod)


def control_points(units: FloatArray, traits: FloatArray | None = None) -> FloatArray:
    """Deform the average face.

    Args:
        units: (2, A) intensities of the action units of the person's right and left half.
        traits: (T,) personal traits in standard deviations, or None for the average face.

    Returns:
        (N, 3) control points, facing the viewer; :data:`~mfer_lightning.data.facs.average_face.INDEX` names the rows.

    Example:
        >>> from mfer_lightning.data.facs.action_units import AU_INDEX
        >>> rest, smile = np.zeros((2, len(AU_INDEX))), np.zeros((2, len(AU_INDEX)))
        >>> smile[:, AU_INDEX["AU12"]] = 1.0
        >>> corner = INDEX["corner.L"]
        >>> bool(control_points(smile)[corner, 1] < control_points(rest)[corner, 1])  # y points down
        True
    """
    flat = _REST + units.reshape(-1) @ _UNITS
    if traits is not None:
        flat += traits @ _TRAITS
    points: FloatArray = flat.reshape(-1, 3)
    points[_ABOVE, 1] = np.minimum(points[_ABOVE, 1], points[_BELOW, 1])
    edge = points[_INNER, 1] + _FLESH
    points[_LIPS, 1] = np.where(_FLESH < 0, np.minimum(points[_LIPS, 1], edge), np.maximum(points[_LIPS, 1], edge))
    return points


class Figure:
    """The curves of one face in the image.

    Args:
        points: (N, 3) control points.
        pose: pose of the head.
        size: side of the image in pixels.
        zoom: supersampling factor of the canvas.
    """

    #: Fractional bits of OpenCV's fixed-point coordinates.
    SHIFT = 4

    def __init__(self, points: FloatArray, pose: Pose, size: int, zoom: int) -> None:
        rotated = points @ pose.rotation().T[:, :2]
        self.unit = pose.scale * size
        self.points = rotated * self.unit + (pose.x * size, pose.y * size)
        self.curves = trace(self.points)
        self.zoom = zoom
        # OpenCV puts the centre of the first pixel at 0; here it is at 0.5.
        self._fine = self.fixed_fine(self.curves)
        self._canvas = self.fixed(self.curves)

    def canvas(self, name: str) -> NDArray[np.int32]:
        """Return the (m, 2) fixed-point points of a curve on the supersampled canvas."""
        return np.asarray(self._canvas[CURVES[name]], dtype=np.int32)

    def fine(self, name: str) -> NDArray[np.int32]:
        """Return the (m, 2) fixed-point points of a curve at the image's own size."""
        return np.asarray(self._fine[CURVES[name]], dtype=np.int32)

    def curve(self, name: str) -> FloatArray:
        """Return the (m, 2) points of a curve in pixels of the image."""
        return np.asarray(self.curves[CURVES[name]], dtype=np.float64)

    def group(self, name: str) -> FloatArray:
        """Return the (k, 2) control points of a named group in pixels of the image."""
        return np.asarray(self.points[INDEX[name]], dtype=np.float64)

    def fixed(self, points: FloatArray) -> NDArray[np.int32]:
        """Convert points in pixels of the image to fixed-point points on the canvas."""
        return np.asarray(np.rint((points * self.zoom - 0.5) * (1 << self.SHIFT)), dtype=np.int32)

    def fixed_fine(self, points: FloatArray) -> NDArray[np.int32]:
        """Convert points in pixels of the image to fixed-point points at the image's own size."""
        return np.asarray(np.rint((points - 0.5) * (1 << self.SHIFT)), dtype=np.int32)
