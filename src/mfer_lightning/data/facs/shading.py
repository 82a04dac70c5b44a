"""Shading of the face: roundness of the head, soft hollows, and folds of expression and age."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from mfer_lightning.data.facs.action_units import AU_INDEX
from mfer_lightning.data.facs.average_face import FloatArray
from mfer_lightning.data.facs.conditions import Conditions
from mfer_lightning.data.facs.geometry import Figure
from mfer_lightning.data.facs.identity import Identity

FloatImage = NDArray[np.float32]
_NEUTRAL = 128  # no change of brightness in a relief


@lru_cache(maxsize=8)
def _grid(size: int) -> tuple[FloatImage, FloatImage]:
    """Return the pixel centres: (1, size) across and (size, 1) down, as fractions of the side."""
    axis: FloatImage = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)
    return axis[None, :], axis[:, None]


def roundness(conditions: Conditions, size: int) -> FloatImage:
    """Return the (size, size) brightness of a matt ellipsoid in place of the head.

    Args:
        conditions: pose and light.
        size: size of the image.
    """
    pose = conditions.pose
    x, y = _grid(size)
    rotation = pose.rotation()
    dx, dy = (x - pose.x) * np.float32(1 / pose.scale), (y - pose.y) * np.float32(1 / pose.scale)
    cosine, sine = np.float32(rotation[1, 1]), np.float32(rotation[1, 0])
    nx = (dx * cosine + dy * sine) * np.float32(1 / 1.02)
    ny = (dy * cosine - dx * sine + np.float32(0.05)) * np.float32(1 / 1.62)
    nz = np.sqrt(np.maximum(1 - nx * nx - ny * ny, np.float32(0.06)))
    lx, ly, lz = (np.float32(v) for v in conditions.light)
    ambient = np.float32(conditions.ambient)
    # Continue the edge of the ellipsoid beyond its outline: the wall behind is lit from the same side.
    reach = np.sqrt(np.maximum(nx * nx + ny * ny + nz * nz, 1))
    lit = np.maximum((nx * lx + ny * ly + nz * lz) / reach, 0)
    return np.asarray(ambient + (1 - ambient) * np.float32(1.12) * lit, dtype=np.float32)


class _Relief:
    """A grey image in which 128 means no change of brightness."""

    def __init__(self, figure: Figure, size: int) -> None:
        self.figure = figure
        self.pixels = np.full((size, size), _NEUTRAL, np.uint8)
        self._pen = size / 64

    def fill(self, points: NDArray[np.int32], change: float) -> None:
        cv2.fillPoly(self.pixels, [points], _NEUTRAL * (1 + change), cv2.LINE_AA, Figure.SHIFT)

    def stroke(self, points: NDArray[np.int32], change: float, width: float = 1.0) -> None:
        thickness = max(1, int(width * self._pen + 0.5))
        cv2.polylines(self.pixels, [points], False, _NEUTRAL * (1 + change), thickness, cv2.LINE_AA, Figure.SHIFT)

    def disc(self, center: FloatArray, radius: float, change: float, squash: float = 1.0) -> None:
        x, y = self.figure.fixed_fine(center).tolist()
        r = radius * self.figure.unit * (1 << Figure.SHIFT)
        axes = (max(1, int(r)), max(1, int(r * squash)))
        value = _NEUTRAL * (1 + change)
        cv2.ellipse(self.pixels, (x, y), axes, 0, 0, 360, value, -1, cv2.LINE_AA, Figure.SHIFT)

    def blurred(self, sigma: float) -> NDArray[np.uint8]:
        sigma *= self._pen
        side = 2 * int(2.2 * sigma + 0.5) + 1
        return np.asarray(cv2.GaussianBlur(self.pixels, (side, side), sigma), dtype=np.uint8)


def hollows(figure: Figure, units: FloatArray, conditions: Conditions, size: int) -> NDArray[np.uint8]:
    """Return (size, size) shading of eye sockets, sides of the nose, cheeks, lower lip and chin; 128 is neutral."""
    relief = _Relief(figure, size)
    strongest = units.max(axis=0)
    light_x, fine = conditions.light[0], figure.fine
    raised = max(strongest[AU_INDEX["AU6"]], strongest[AU_INDEX["AU12"]])
    for side, sign in (("R", -1.0), ("L", 1.0)):
        socket = np.concatenate((fine(f"brow_lo.{side}"), fine(f"bag.{side}")[::-1]))
        relief.fill(socket, -0.16)
        towards = sign * light_x  # > 0 if this side of the nose faces the light
        ridge, wing = fine(f"ridge.{side}"), fine(f"nasolabial.{side}")[:2]
        flank = np.concatenate((ridge, wing, fine(f"bag.{side}")[:1]))
        relief.fill(flank, 0.08 * towards - 0.10 if towards < 0 else 0.05 * towards - 0.04)
        relief.fill(fine(f"cheek.{side}"), 0.04 + 0.13 * raised)
    relief.stroke(figure.fixed_fine(figure.curve("lip_ol") + np.array((0.0, 0.07 * figure.unit))), -0.24, 1.6)
    relief.disc(figure.group("boss")[0], 0.15, 0.07 - 0.2 * strongest[AU_INDEX["AU17"]])
    tip, root = figure.group("tip")[0], figure.group("root")[0]
    relief.stroke(figure.fixed_fine(np.stack((root, tip))), 0.17, 1.6)
    relief.disc(tip, 0.07, 0.26)
    relief.stroke(fine("nose_under"), -0.22, 1.0)
    return relief.blurred(1.2)


def folds(figure: Figure, units: FloatArray, person: Identity, size: int) -> NDArray[np.uint8]:
    """Return (size, size) lines and folds of expression and age; 128 is neutral."""
    relief = _Relief(figure, size)
    fine, lines = figure.fine, person.lines
    for row, side in enumerate("RL"):
        au = dict(zip(AU_INDEX, units[row].tolist(), strict=True))
        smile = max(0.75 * au["AU12"], 0.9 * au["AU9"], 0.85 * au["AU10"], 0.35 * au["AU14"], 0.25 * au["AU20"])
        relief.stroke(fine(f"nasolabial.{side}"), -min(0.5, 0.07 + 0.25 * lines + 0.38 * smile))
        if au["AU14"] > 0.12:
            relief.stroke(fine(f"dimple.{side}"), -0.72 * au["AU14"], 1.2)
        bags = max(0.8 * au["AU6"], 0.7 * au["AU7"], 0.6 * au["AU9"])
        relief.stroke(fine(f"bag.{side}"), -min(0.5, 0.05 + 0.25 * lines + 0.35 * bags))
        crow = 0.22 * au["AU6"] + 0.16 * lines
        if crow > 0.08:
            feet = figure.fixed_fine(figure.group(f"crow.{side}"))
            for start in (0, 2, 4):
                relief.stroke(feet[start : start + 2], -crow, 0.6)
        frown = 0.38 * au["AU4"] + 0.2 * au["AU9"] + 0.12 * lines
        if frown > 0.08:
            relief.stroke(figure.fixed_fine(figure.group(f"glabella.{side}")), -min(0.45, frown), 0.7)
        if au["AU9"] > 0.1:
            bunny = figure.fixed_fine(figure.group(f"bunny.{side}"))
            relief.stroke(bunny[:2], -0.55 * au["AU9"])
            relief.stroke(bunny[2:], -0.5 * au["AU9"])
    raised = max(units[:, AU_INDEX["AU1"]].mean(), 0.8 * units[:, AU_INDEX["AU2"]].mean())
    furrow = 0.20 * raised + 0.14 * lines
    if furrow > 0.07 and person.style not in ("fringe", "beanie"):
        for name in ("furrow0", "furrow1", "furrow2"):
            line = fine(name)
            relief.stroke(line, -0.5 * furrow, 0.6)
            relief.stroke(line[2:-2], -furrow, 0.6)  # fading towards its ends
    chin = units[:, AU_INDEX["AU17"]].mean()
    if chin > 0.15:
        boss = figure.group("boss")[0]
        for dx, dy in ((-0.07, 0.0), (0.07, 0.02), (0.0, -0.06), (0.0, 0.07)):
            relief.disc(boss + np.array((dx, dy)) * figure.unit, 0.035, -0.4 * chin)
    return relief.blurred(0.5)
