"""Identities: the properties of a face that are the same in all images of a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mfer_lightning.data.facs.average_face import FloatArray
from mfer_lightning.data.facs.random_stream import Stream
from mfer_lightning.data.facs.traits import TRAIT_INDEX

Color = tuple[float, float, float]

#: Skin tones of the Fitzpatrick scale, types 1 to 6, as RGB.
SKIN: tuple[Color, ...] = (
    (244, 208, 186),
    (234, 192, 162),
    (216, 170, 132),
    (192, 142, 104),
    (146, 98, 68),
    (98, 64, 46),
)
_HAIR: tuple[Color, ...] = ((30, 26, 26), (58, 40, 30), (92, 62, 40), (126, 70, 40), (196, 158, 100), (228, 198, 142))
_HAIR_BY_SKIN: tuple[tuple[float, ...], ...] = (
    (1, 2, 3, 2, 3, 2),
    (2, 3, 3, 1, 2, 1),
    (4, 4, 2, 0.5, 0.5, 0),
    (6, 3, 1, 0, 0.2, 0),
    (8, 2, 0.3, 0, 0.2, 0),
    (9, 1, 0, 0, 0.2, 0),
)
_IRIS: tuple[Color, ...] = ((64, 40, 26), (98, 64, 34), (112, 108, 60), (84, 124, 152), (120, 140, 150))


@dataclass(frozen=True)
class Style:
    """A hair style or headgear.

    Args:
        often: relative frequency.
        behind: whether hair (or cloth) is visible behind the head.
        shape: ranges of the hair traits, in tenths of a unit.
    """

    often: float
    behind: bool
    shape: Mapping[str, tuple[float, float]]


def _style_of(often: float, behind: bool = False, **shape: tuple[float, float]) -> Style:
    return Style(often, behind, {f"hair_{name}": span for name, span in shape.items()})


#: Hair styles and headgear.
STYLES: Mapping[str, Style] = {
    "bald": _style_of(0.6),
    "buzz": _style_of(1.0, volume=(-0.6, -0.2), height=(-0.6, -0.2), recede=(0.0, 1.2)),
    "short": _style_of(2.4, volume=(-0.3, 0.8), height=(0.0, 1.5), line=(-0.4, 0.8)),
    "parting": _style_of(2.0, volume=(0.0, 0.9), height=(0.2, 1.4), part=(-1.8, 1.8)),
    "receding": _style_of(0.8, volume=(-0.4, 0.4), height=(-0.5, 0.2), recede=(1.0, 2.4)),
    "fringe": _style_of(1.4, volume=(0.3, 1.2), height=(0.2, 1.0), line=(1.6, 2.8)),
    "curly": _style_of(1.4, volume=(0.8, 1.8), height=(0.8, 1.8), line=(0.0, 1.2)),
    "afro": _style_of(0.7, volume=(2.4, 3.6), height=(2.0, 3.5), line=(0.0, 0.8)),
    "long": _style_of(2.6, True, volume=(0.3, 1.4), side=(1.0, 4.5), part=(-1.6, 1.6), length=(-5.0, 4.0)),
    "bob": _style_of(1.6, True, volume=(0.8, 1.8), side=(2.0, 5.0), line=(0.5, 2.6), length=(-6.0, -3.0)),
    "bun": _style_of(0.8, volume=(-0.2, 0.2), height=(0.0, 0.4), part=(-0.6, 0.6)),
    "beanie": _style_of(0.5, volume=(0.3, 0.7), height=(0.8, 1.6), line=(1.2, 1.8)),
    "headscarf": _style_of(0.6, True, volume=(0.6, 1.0), line=(0.6, 1.2), side=(3.0, 4.0), length=(3.0, 5.0)),
}
BEARDS = ("none", "stubble", "moustache", "goatee", "full")
GLASSES = ("none", "thin", "thick", "round")


@dataclass(frozen=True)
class Identity:
    """One person.

    Args:
        traits: (T,) shape, in standard deviations of :data:`~mfer_lightning.data.facs.traits.TRAITS`.
        skin: Fitzpatrick type, 1 to 6.
        skin_color: RGB.
        age: in years, 6 to 80.
        style: hair style, a key of :data:`STYLES`.
        hair_color: RGB; the colour of the headgear if the style is one.
        brow_color: RGB.
        beard: one of :data:`BEARDS`.
        glasses: one of :data:`GLASSES`.
        glasses_color: RGB.
        iris_color: RGB.
        lip_color: RGB.
        lashes: thickness of the lash line, 1 is bare.
        lines: strength of age lines, 0 to 1.
        texture: random seed of details such as curls and strands.
    """

    traits: FloatArray
    skin: int
    skin_color: Color
    age: int
    style: str
    hair_color: Color
    brow_color: Color
    beard: str
    glasses: str
    glasses_color: Color
    iris_color: Color
    lip_color: Color
    lashes: float
    lines: float
    texture: int

    @property
    def back_hair(self) -> bool:
        """Whether hair (or cloth) is visible behind the head."""
        return STYLES[self.style].behind


def mix(a: Color, b: Color, share: float) -> Color:
    """Mix a share of ``b`` into ``a``.

    Example:
        >>> mix((0.0, 0.0, 0.0), (100.0, 50.0, 10.0), 0.5)
        (50.0, 25.0, 5.0)
    """
    return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share)


def scaled(color: Color, gain: float) -> Color:
    """Scale a color, clipped to [0, 255]."""
    return (min(color[0] * gain, 255.0), min(color[1] * gain, 255.0), min(color[2] * gain, 255.0))


def demographics(stream: Stream) -> tuple[int, int]:
    """Draw the skin type (1 to 6) and the age (6 to 80), the first draws from a person's stream."""
    skin = stream.pick((1, 2, 3, 4, 5, 6), (1.0, 1.4, 1.4, 1.2, 1.2, 1.0))
    age = int(stream.uniform(6, 14)) if stream.chance(0.1) else int(14 + 67 * stream.random() ** 1.4)
    return skin, min(age, 80)


def sample_identity(stream: Stream) -> Identity:
    """Draw a person.

    Args:
        stream: random stream of the person.

    Returns:
        The person; deterministic for a given stream.
    """
    skin, age = demographics(stream)
    traits = np.array([stream.normal(1.8) for _ in TRAIT_INDEX])
    traits[[row for name, row in TRAIT_INDEX.items() if name.startswith("hair_")]] = 0.0
    traits[TRAIT_INDEX["mouth_curve"]] *= 0.5  # a crooked mouth must not look like an expression
    feminine = stream.chance(0.5)
    child = age < 14
    if child:
        _shift(traits, eye_height=1.0, eye_width=1.2, nose_length=-1.5, jaw_width=-0.6, chin=-1.2, brow_thick=-0.6)
        traits[TRAIT_INDEX["jaw_square"]] = min(traits[TRAIT_INDEX["jaw_square"]], 0.0)
    elif feminine:
        _shift(traits, brow_thick=-0.7, jaw_width=-0.6, brow_arch=0.6, lip_upper=0.4, lip_lower=0.4, jaw_square=-0.6)
    else:
        _shift(traits, brow_thick=0.5, jaw_width=0.4, jaw_square=0.5, chin=0.3, nose_width=0.3)
    if skin >= 5:
        _shift(traits, nose_width=0.6, lip_upper=0.6, lip_lower=0.6)
    style = _style(stream, skin, age, feminine)
    for name, (low, high) in STYLES[style].shape.items():
        traits[TRAIT_INDEX[name]] = stream.uniform(low, high)
    skin_color = SKIN[skin - 1]
    red, yellow = stream.normal() * 4, stream.normal() * 5
    skin_color = scaled((skin_color[0] + red, skin_color[1], skin_color[2] - yellow), stream.uniform(0.94, 1.05))
    natural = stream.pick(_HAIR, _HAIR_BY_SKIN[skin - 1])
    natural = scaled(natural, stream.uniform(0.85, 1.2))
    brow_color = mix(scaled(natural, 0.75), skin_color, 0.10)
    if sum(brow_color) > 0.72 * sum(skin_color):  # fair brows must remain visible
        brow_color = scaled(brow_color, 0.72 * sum(skin_color) / sum(brow_color))
    hair_color = natural
    if age > 45:
        grey = stream.uniform(0.0, min(1.0, (age - 40) / 25))
        hair_color = mix(natural, (186.0, 184.0, 182.0), grey)
        brow_color = mix(brow_color, (120.0, 116.0, 112.0), 0.5 * grey)
    elif stream.chance(0.04):
        hair_color = stream.pick(((170.0, 60.0, 70.0), (70.0, 90.0, 160.0), (150.0, 90.0, 160.0)))
    if style in ("beanie", "headscarf"):
        hair_color = (stream.uniform(30, 220), stream.uniform(30, 200), stream.uniform(40, 220))
    rosy = (0.26 if skin < 5 else 0.20) + 0.14 * feminine
    lip = mix(scaled(skin_color, 0.95), (176.0, 62.0, 70.0), rosy)
    if feminine and not child and stream.chance(0.4):
        lip = mix(lip, stream.pick(((190.0, 30.0, 50.0), (150.0, 40.0, 80.0), (214.0, 80.0, 90.0))), 0.6)
    may_beard = not feminine and age > 17
    return Identity(
        traits=traits,
        skin=skin,
        skin_color=skin_color,
        age=age,
        style=style,
        hair_color=hair_color,
        brow_color=brow_color,
        beard=stream.pick(BEARDS, (4.5, 2.0, 0.8, 0.8, 1.6)) if may_beard else "none",
        glasses=stream.pick(GLASSES, (8.0, 1.0, 0.9, 0.6)),
        glasses_color=stream.pick(((40.0, 36.0, 34.0), (90.0, 60.0, 40.0), (120.0, 120.0, 124.0), (150.0, 40.0, 50.0))),
        iris_color=stream.pick(_IRIS, (3, 3, 2, 2, 1)) if skin < 3 else stream.pick(_IRIS[:2]),
        lip_color=lip,
        lashes=stream.uniform(1.0, 1.9) if feminine and not child else 1.0,
        lines=max(0.0, min(1.0, (age - 30) / 45)) * stream.uniform(0.5, 1.0),
        texture=int(stream.random() * 2**31),
    )


def _shift(traits: FloatArray, **by: float) -> None:
    for name, amount in by.items():
        traits[TRAIT_INDEX[name]] += amount


def _style(stream: Stream, skin: int, age: int, feminine: bool) -> str:
    weights = {name: style.often for name, style in STYLES.items()}
    for name in ("long", "bob", "bun", "headscarf", "fringe"):
        weights[name] *= 1.8 if feminine else 0.15
    for name in ("bald", "buzz", "short", "receding"):
        weights[name] *= 0.25 if feminine else 1.4
    if age < 35:
        weights["receding"] = 0.0
        weights["bald"] *= 0.4
    if age < 14:
        weights["bald"] = 0.0
    weights["afro"] *= 2.0 if skin >= 5 else 0.3
    return stream.pick(list(weights), list(weights.values()))
