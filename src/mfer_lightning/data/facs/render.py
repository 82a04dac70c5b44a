"""Render one face: background, person and occluder, then light and camera."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mfer_lightning.data.facs.action_units import AU_INDEX
from mfer_lightning.data.facs.average_face import FloatArray
from mfer_lightning.data.facs.canvas import Canvas, Image
from mfer_lightning.data.facs.conditions import Conditions
from mfer_lightning.data.facs.features import draw_brow, draw_eye, draw_mouth, draw_nose
from mfer_lightning.data.facs.geometry import Figure, control_points
from mfer_lightning.data.facs.hair_and_glasses import draw_back_hair, draw_beard, draw_glasses, draw_hair
from mfer_lightning.data.facs.identity import Identity, scaled
from mfer_lightning.data.facs.occlusion import draw_occluder
from mfer_lightning.data.facs.random_stream import Stream
from mfer_lightning.data.facs.shading import folds, hollows, roundness

_NECK = np.array([[-0.46, 0.55], [-0.44, 1.20], [-0.50, 1.55], [0.0, 1.95], [0.50, 1.55], [0.44, 1.20], [0.46, 0.55]])
_CLOTHES = np.array(
    [[-0.50, 1.38], [-1.0, 1.56], [-1.75, 1.80], [-2.2, 3.2], [2.2, 3.2], [1.75, 1.80], [1.0, 1.56], [0.50, 1.38],
     [0.30, 1.62], [0.0, 1.72], [-0.30, 1.62]]
)  # fmt: skip


def render(person: Identity, units: FloatArray, conditions: Conditions, size: int, details: Stream) -> Image:
    """Render a face.

    Args:
        person: the person.
        units: (2, A) action units of the right and left half.
        conditions: conditions of the photo.
        size: side of the image in pixels, 24 or more.
        details: random numbers for background and sensor noise.

    Returns:
        (size, size, 3) uint8, RGB.
    """
    zoom = 2 if size <= 160 else 1
    figure = Figure(control_points(units, person.traits), conditions.pose, size, zoom)
    canvas = Canvas(figure, size)
    _draw_backdrop(canvas, conditions, details)
    texture = Stream(person.texture, 0, 0)
    _draw_person(canvas, person, units, conditions, texture)
    hidden = draw_occluder(canvas, conditions)
    image = cv2.resize(canvas.pixels, (size, size), interpolation=cv2.INTER_AREA) if zoom > 1 else canvas.pixels
    shade = _shade(figure, person, units, conditions, size, hidden)
    return _photograph(image, shade, conditions, details, size)


def _draw_backdrop(canvas: Canvas, conditions: Conditions, details: Stream) -> None:
    cells = np.array([details.pick(conditions.backdrop) for _ in range(16)], dtype=np.uint8).reshape(4, 4, 3)
    smooth = cv2.INTER_CUBIC if details.chance(0.6) else cv2.INTER_LINEAR
    canvas.pixels = cv2.resize(cells, (canvas.side, canvas.side), interpolation=smooth)
    for _ in range(int(details.uniform(0, 3))):  # furniture
        x, y = details.uniform(-0.2, 1.0) * canvas.side, details.uniform(-0.2, 0.8) * canvas.side
        w, h = details.uniform(0.1, 0.5) * canvas.side, details.uniform(0.1, 0.8) * canvas.side
        tone = scaled(details.pick(conditions.backdrop), details.uniform(0.5, 1.3))
        cv2.rectangle(canvas.pixels, (int(x), int(y)), (int(x + w), int(y + h)), tone, -1)


def _draw_person(canvas: Canvas, person: Identity, units: FloatArray, conditions: Conditions, texture: Stream) -> None:
    figure, pose = canvas.figure, conditions.pose
    draw_back_hair(canvas, person)
    center = np.array((pose.x, pose.y)) * (figure.unit / pose.scale)
    lean = np.array((-0.006 * pose.roll, 0.0))
    skin = person.skin_color
    canvas.fill(figure.fixed((_NECK + lean) * figure.unit + center), scaled(skin, 0.70))
    canvas.fill(figure.fixed((_CLOTHES + lean) * figure.unit + center), conditions.clothes)
    for side in "RL" if person.style != "headscarf" else "":
        ear = figure.canvas(f"ear.{side}")
        canvas.fill(ear, scaled(skin, 0.88))
        canvas.stroke(ear[4:12], scaled(skin, 0.68))
    canvas.fill(figure.canvas("head"), skin)
    draw_beard(canvas, person)
    draw_mouth(canvas, person, float(max(units[:, AU_INDEX["AU16"]].mean(), 0.7 * units[:, AU_INDEX["AU20"]].mean())))
    draw_nose(canvas, person)
    gaze = np.array(conditions.gaze) * figure.unit
    for side in "RL":
        draw_eye(canvas, side, person, figure.group(f"iris.{side}")[0] + gaze, conditions.light[0])
        draw_brow(canvas, side, person)
    draw_hair(canvas, person, texture)
    draw_glasses(canvas, person)


def _shade(
    figure: Figure,
    person: Identity,
    units: FloatArray,
    conditions: Conditions,
    size: int,
    hidden: NDArray[np.uint8] | None,
) -> NDArray[np.float32]:
    """Return the (size, size) brightness factor of each pixel."""
    soft = hollows(figure, units, conditions, size)
    fine = folds(figure, units, person, size)
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [figure.fine("head")], 255, cv2.LINE_AA, Figure.SHIFT)
    if person.style != "bald":
        hair = np.concatenate((figure.fine("hair_out"), figure.fine("hair_in")[::-1]))
        cv2.fillPoly(mask, [hair], 0, cv2.LINE_AA, Figure.SHIFT)
    if hidden is not None:
        mask[hidden > 127] = 0
    relief = soft.astype(np.float32) * fine.astype(np.float32) * np.float32(1 / 128**2)
    share = mask.astype(np.float32) * np.float32(1 / 255)
    return np.asarray(roundness(conditions, size) * (1 + share * (relief - 1)), dtype=np.float32)


def _photograph(image: Image, shade: NDArray[np.float32], conditions: Conditions, details: Stream, size: int) -> Image:
    """Apply exposure, colour cast, blur and noise."""
    gain = conditions.exposure * conditions.contrast
    offset = np.float32(118.0 * (1.0 - conditions.contrast))
    if conditions.grey:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        picture = cv2.merge((grey, grey, grey)).astype(np.float32) * (shade * np.float32(gain))[..., None]
    else:
        picture = image.astype(np.float32)
        picture *= shade[..., None] * (np.array(conditions.cast, dtype=np.float32) * np.float32(gain))
    picture += offset
    sigma = conditions.blur * size / 64
    if sigma > 0.25:
        side = 2 * int(2.5 * sigma + 0.5) + 1
        picture = cv2.GaussianBlur(picture, (side, side), sigma)
    if conditions.noise > 0.5:
        grain = details.rng.standard_normal((size, size, 1), dtype=np.float32)
        grain *= np.float32(conditions.noise)
        picture += grain
    return np.asarray(np.clip(picture, 0, 255, out=picture) + np.float32(0.5)).astype(np.uint8)
