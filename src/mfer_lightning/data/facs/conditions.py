"""Conditions of a photo: pose, light, background, camera and occlusion."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mfer_lightning.data.facs.geometry import Pose
from mfer_lightning.data.facs.identity import Color
from mfer_lightning.data.facs.random_stream import Stream

#: Possible occluders.
OCCLUDERS = ("mask", "scarf", "hand", "hair", "box", "sunglasses")


@dataclass(frozen=True)
class Conditions:
    """All properties of a photo that belong neither to the person nor to the expression.

    Args:
        pose: pose of the head.
        gaze: (right, down) offset of the irises in template units.
        light: direction to the light (x, y, z), a unit vector.
        ambient: fraction of ambient light, in (0, 1].
        exposure: brightness factor.
        contrast: factor on the distance from mid grey.
        cast: RGB factors of the colour cast.
        grey: whether the photo is grey.
        blur: standard deviation of the blur in pixels at 64 pixels.
        noise: standard deviation of the noise, in levels.
        backdrop: the background's three colors.
        clothes: RGB colour of the clothes.
        occluder: one of :data:`OCCLUDERS` or None.
        cover: size of the occluder, 0 to 1.
        place: position of the occluder, three numbers in [0, 1).
        occluder_color: RGB.
    """

    pose: Pose
    gaze: tuple[float, float]
    light: tuple[float, float, float]
    ambient: float
    exposure: float
    contrast: float
    cast: Color
    grey: bool
    blur: float
    noise: float
    backdrop: tuple[Color, Color, Color]
    clothes: Color
    occluder: str | None
    cover: float
    place: tuple[float, float, float]
    occluder_color: Color


def sample_conditions(stream: Stream, difficulty: float, occluded: bool, skin: Color) -> Conditions:
    """Draw the conditions of a photo.

    Args:
        stream: source of random numbers.
        difficulty: in [0, 1]; widens the ranges of pose, position, light, blur and noise, and enlarges occluders.
        occluded: whether part of the face is occluded.
        skin: skin colour of the person, for the exposure and for a hand in front of the face.

    Returns:
        The conditions. At difficulty 1: yaw within 30, pitch 17 and roll 16 degrees, scale within 16%, position within
        7% of the side, exposure from 0.6 to 1.2 times the meter's, blur up to 1.1 pixels (of 64), noise up to 10.
    """
    d = difficulty
    spread = 0.03 + 0.13 * d
    shift = 0.01 + 0.06 * d
    pose = Pose(
        yaw=stream.uniform(-1, 1) * (6 + 24 * d),
        pitch=stream.uniform(-1, 1) * (3 + 14 * d),
        roll=stream.uniform(-1, 1) * (2 + 14 * d),
        scale=0.36 * (1 + stream.uniform(-1, 1) * spread),
        x=0.5 + stream.uniform(-1, 1) * shift,
        y=0.48 + stream.uniform(-1, 1) * shift,
    )
    azimuth, height = stream.uniform(-1.2, 1.2) * (0.4 + 0.6 * d), stream.uniform(-0.9, 0.3)
    z = 1.0 - 0.45 * d * stream.random()
    norm = math.sqrt(azimuth**2 + height**2 + z**2)
    metering = min(1.45, max(0.95, (480.0 / sum(skin)) ** 0.4))  # a camera exposes dark faces longer
    warmth = stream.normal() * (0.02 + 0.08 * d)
    backdrop = _color(stream), _color(stream), _color(stream)
    occluder = stream.pick(OCCLUDERS, (0.8, 0.8, 2.0, 1.5, 2.0, 1.0)) if occluded else None
    fabric = mixed = _color(stream)
    if occluder == "hand":
        mixed = skin
    elif occluder == "sunglasses":
        mixed = (fabric[0] * 0.15, fabric[1] * 0.15, fabric[2] * 0.15)
    elif occluder == "mask" and stream.chance(0.7):
        mixed = stream.pick(((150.0, 195.0, 220.0), (235.0, 238.0, 240.0), (40.0, 42.0, 46.0)))
    return Conditions(
        pose=pose,
        gaze=(0.022 * stream.normal(), 0.010 * stream.normal()),
        light=(azimuth / norm, height / norm, z / norm),
        ambient=1.0 - stream.uniform(0.25, 0.4 + 0.35 * d),
        exposure=stream.uniform(0.96 - 0.36 * d, 1.06 + 0.14 * d) * metering,
        contrast=stream.uniform(1.0 - 0.40 * d, 1.0 + 0.10 * d),
        cast=(1.0 + warmth, 1.0 + 0.012 * stream.normal(), 1.0 - warmth),
        grey=stream.chance(0.08),
        blur=stream.random() ** 2 * (0.3 + 0.8 * d),
        noise=stream.random() * (1.0 + 9.0 * d),
        backdrop=backdrop,
        clothes=_color(stream),
        occluder=occluder,
        cover=0.25 + 0.75 * d * stream.random(),
        place=(stream.random(), stream.random(), stream.random()),
        occluder_color=mixed,
    )


def _color(stream: Stream) -> Color:
    grey = stream.uniform(20, 235)
    tint = stream.random() * 0.5

    def channel() -> float:
        return grey + (stream.uniform(0, 255) - grey) * tint

    return channel(), channel(), channel()
