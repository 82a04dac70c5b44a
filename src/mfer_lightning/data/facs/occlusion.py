"""Draw occluders in front of the face: mask, scarf, hand, hair, box, sunglasses."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mfer_lightning.data.facs.average_face import FloatArray
from mfer_lightning.data.facs.canvas import CIRCLE, Canvas
from mfer_lightning.data.facs.conditions import Conditions
from mfer_lightning.data.facs.geometry import Figure
from mfer_lightning.data.facs.identity import scaled


def draw_occluder(canvas: Canvas, conditions: Conditions) -> NDArray[np.uint8] | None:
    """Draw the occluder.

    Args:
        canvas: canvas with the face on it.
        conditions: kind, size and position of the occluder.

    Returns:
        (size, size) mask, 255 where the face is occluded; None without an occluder.
    """
    if conditions.occluder is None:
        return None
    figure = canvas.figure
    size = canvas.side // figure.zoom
    hidden = np.zeros((size, size), np.uint8)
    color = conditions.occluder_color
    for place, outline in enumerate(_outlines(figure, conditions, size)):
        shape = figure.fixed(outline)
        canvas.fill(shape, color if conditions.occluder != "hair" or place % 2 else scaled(color, 0.85))
        if conditions.occluder in ("hand", "mask", "scarf"):
            canvas.stroke(shape, scaled(color, 0.72), closed=True)
        cv2.fillPoly(hidden, [figure.fixed_fine(outline)], 255, cv2.LINE_8, Figure.SHIFT)
    return hidden


def _outlines(figure: Figure, conditions: Conditions, size: int) -> list[FloatArray]:
    """Return the occluder's polygons in pixels of the image."""
    unit, cover, (a, b, c) = figure.unit, conditions.cover, conditions.place
    kind = conditions.occluder
    if kind in ("mask", "scarf"):
        nose, chin = figure.group("tip")[0], figure.group("chin")[0]
        jaw = figure.curve("jaw")
        high = 0.55 - 0.45 * cover if kind == "scarf" else 0.3 - 0.4 * cover
        top = nose + (chin - nose) * high
        left, right = jaw[2], jaw[-3]
        edge = np.stack((left, (left + top) / 2, top, (right + top) / 2, right))
        edge[[0, -1]] += (chin - nose) * max(0.0, high)
        down = (0.35 if kind == "scarf" else 0.04) * (chin - nose)
        rim = jaw[4:-4] * 1.02 - 0.02 * nose + down
        return [np.concatenate((edge, rim[::-1]))]
    if kind == "sunglasses":
        lenses = [figure.curve("frame.R"), figure.curve("frame.L")]
        lenses = [lens * 1.14 - 0.14 * lens.mean(axis=0) for lens in lenses]
        lines = [np.stack([lens[0] for lens in lenses])]
        lines += [np.stack((lens[12], figure.group(f"temple.{s}")[0])) for lens, s in zip(lenses, "RL", strict=True)]
        thick = np.array((0.0, 0.025 * unit))
        return [*lenses, *(np.concatenate((line - thick, line[::-1] + thick)) for line in lines)]
    if kind == "hair":
        side = "R" if a < 0.5 else "L"
        start, temple = figure.group("hair_in0")[0], figure.group(f"hair_in.{side}")
        stretch = (figure.group("chin")[0] - start) * (0.28 + 0.4 * cover)
        long, middle = temple[3] + stretch * (0.5 + 0.5 * b), temple[2] + stretch * (0.6 + 0.5 * c)
        short = temple[1] + stretch * (0.4 + 0.4 * b)
        return [
            np.stack((start, temple[1], temple[3], long, middle)),
            np.stack((start, temple[2], temple[2] + stretch, short)),
        ]
    if kind == "box":
        half = (0.22 + 0.42 * cover) * np.array((1.0, 0.6 + 0.8 * c)) * unit
        offset = np.array((1.3 * a - 0.65, 1.7 * b - 0.7)) * unit
        middle = np.array((conditions.pose.x, conditions.pose.y)) * size + offset
        return [middle + half * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])]
    # A hand: four fingers and a palm, from below.
    sign = -1.0 if a < 0.5 else 1.0
    palm = figure.group("chin")[0] + np.array((sign * (0.25 + 0.5 * b), 0.05 - 0.55 * cover * c)) * unit
    shapes = [palm + CIRCLE * (0.34, 0.46) * unit]
    for finger in range(4):
        tip = palm + np.array((sign * (-0.36 + 0.2 * finger) + 0.04 * sign, -0.50 - 0.12 * (finger in (1, 2)))) * unit
        root = palm + np.array((sign * (-0.25 + 0.16 * finger), -0.05)) * unit
        shapes.append(_finger(root, tip, 0.095 * unit))
    return shapes


def _finger(root: FloatArray, tip: FloatArray, radius: float) -> FloatArray:
    """Return a rounded bar from root to tip."""
    along = (tip - root) / np.hypot(*(tip - root))
    across = np.array((-along[1], along[0]))
    cap = np.linspace(-np.pi / 2, np.pi / 2, 6)[:, None]
    rounded = tip + radius * (np.cos(cap) * along + np.sin(cap) * across)
    return np.vstack((root - across * radius, rounded, root + across * radius))
