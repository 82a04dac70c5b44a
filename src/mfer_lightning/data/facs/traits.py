"""Personal traits: the linear basis by which face and hair shapes move the control points of the average face."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from mfer_lightning.data.facs.average_face import INDEX, POINTS, FloatArray

Field = Callable[[str, float, float], tuple[float, float]]


def _only(*groups: str) -> Callable[[str], bool]:
    return lambda name: name.startswith(groups)


_EYE = _only("lid_", "crease", "bag", "iris", "crow", "frame")
_BROW = _only("brow")
_NOSE = _only("wing", "nostril", "base", "tip", "ridge", "bunny")
_MOUTH = _only("lip_", "corner", "dimple", "moustache")
_OUTER = _only("contour", "ear", "hair", "back", "temple", "beard", "top", "chin", "crow")
_FURROW = _only("furrow")
_HAIR = _only("hair_out", "back")
_HAIR_LINE = _only("hair_in")

#: Personal traits: displacement (dx, dy) of a point of the left half at (x, y), per standard deviation of the trait.
TRAITS: Mapping[str, Field] = MappingProxyType(
    {
        "face_width": lambda g, x, y: (0.055 * x, 0.0) if _OUTER(g) else (0.02 * x, 0.0),
        "jaw_width": lambda g, x, y: (0.09 * x * min(max(y, 0.0), 1.0), 0.0) if _OUTER(g) else (0.0, 0.0),
        "jaw_square": lambda g, x, y: (0.06, 0.02) if g.startswith("contour") and y > 0.9 else (0.0, 0.0),
        "chin": lambda g, x, y: (0.0, 0.06 * max(y - 0.9, 0.0) / 0.4) if g != "back" else (0.0, 0.0),
        "forehead": lambda g, x, y: (0.0, 0.05 * min(y + 0.5, 0.0)) if _OUTER(g) or _FURROW(g) else (0.0, 0.0),
        "eye_x": lambda g, x, y: (0.018, 0.0) if _EYE(g) or _BROW(g) else (0.0, 0.0),
        "eye_y": lambda g, x, y: (0.0, 0.02) if _EYE(g) or _BROW(g) else (0.0, 0.0),
        "eye_width": lambda g, x, y: (0.09 * (x - 0.385), 0.0) if _EYE(g) else (0.0, 0.0),
        "eye_height": lambda g, x, y: (0.0, 0.09 * (y + 0.10)) if _EYE(g) else (0.0, 0.0),
        "eye_tilt": lambda g, x, y: (0.0, -0.06 * (x - 0.385)) if _EYE(g) else (0.0, 0.0),
        "brow_y": lambda g, x, y: (0.0, 0.022) if _BROW(g) else (0.0, 0.0),
        "brow_thick": lambda g, x, y: (
            (0.0, (-0.011 if g == "brow_up" else 0.008) * (0.7 - x) / 0.5) if _BROW(g) else (0.0, 0.0)
        ),
        "brow_arch": lambda g, x, y: (0.0, -0.018 * max(0.0, 1 - abs(x - 0.48) / 0.25)) if _BROW(g) else (0.0, 0.0),
        "brow_length": lambda g, x, y: (0.08 * (x - 0.2), 0.0) if _BROW(g) else (0.0, 0.0),
        "nose_width": lambda g, x, y: (0.11 * x, 0.0) if _NOSE(g) or g == "nasolabial" else (0.0, 0.0),
        "nose_length": lambda g, x, y: (0.0, 0.03 * max(y + 0.1, 0.0) / 0.5) if _NOSE(g) else (0.0, 0.0),
        "nose_ridge": lambda g, x, y: (0.10 * x, 0.0) if g == "ridge" else (0.0, 0.0),
        "mouth_y": lambda g, x, y: (0.0, 0.022) if _MOUTH(g) else (0.0, 0.0),
        "mouth_width": lambda g, x, y: (0.07 * x, 0.0) if _MOUTH(g) else (0.0, 0.0),
        "mouth_curve": lambda g, x, y: (0.0, -0.012) if g == "corner" else (0.0, 0.0),
        "lip_upper": lambda g, x, y: (0.0, -0.015 * max(0.0, 1 - x / 0.35)) if g.startswith("lip_ou") else (0.0, 0.0),
        "lip_lower": lambda g, x, y: (0.0, 0.018 * max(0.0, 1 - x / 0.35)) if g.startswith("lip_ol") else (0.0, 0.0),
        "ear": lambda g, x, y: (0.12 * (x - 0.82), 0.08 * y) if g == "ear" else (0.0, 0.0),
        # Hair: tenths of a unit instead of standard deviations, see `identity`.
        "hair_volume": lambda g, x, y: (0.10 * x / 0.9, 0.0) if _HAIR(g) else (0.0, 0.0),
        "hair_height": lambda g, x, y: (0.0, 0.10 * min(y + 0.4, 0.0)) if _HAIR(g) else (0.0, 0.0),
        "hair_line": lambda g, x, y: (0.0, 0.10 * min(1.0, max(0.0, -y - 0.38) / 0.4)) if _HAIR_LINE(g) else (0.0, 0.0),
        "hair_recede": lambda g, x, y: (
            (0.0, -0.10 * max(0.0, 1 - abs(x - 0.5) / 0.35)) if _HAIR_LINE(g) else (0.0, 0.0)
        ),
        "hair_side": lambda g, x, y: (
            (0.0, 0.10 * min(1.0, max(0.0, y + 0.9) / 0.6)) if g in ("hair_in", "hair_out") and x > 0.75 else (0.0, 0.0)
        ),
        "hair_length": lambda g, x, y: (0.0, 0.10 * min(1.0, max(0.0, y + 0.4))) if g == "back" else (0.0, 0.0),
    }
)  # fmt: skip

#: The side of a parting: moves the hairline down on the left and up on the right half.
ASYMMETRIC: Mapping[str, Field] = MappingProxyType(
    {"hair_part": lambda g, x, y: (0.0, 0.10 * min(1.0, max(0.0, -y - 0.3) / 0.4)) if _HAIR_LINE(g) else (0.0, 0.0)}
)

#: Row of each trait in :data:`TRAIT_BASIS`.
TRAIT_INDEX: Mapping[str, int] = MappingProxyType({name: i for i, name in enumerate((*TRAITS, *ASYMMETRIC))})


def _trait_basis() -> FloatArray:
    basis = np.zeros((len(TRAIT_INDEX), len(POINTS), 3))
    for name, row in TRAIT_INDEX.items():
        for group, points in INDEX.items():
            base, _, letter = group.partition(".")
            for p in points.tolist():
                x, y, _ = POINTS[p].tolist()
                sign = -1.0 if letter == "R" else 1.0
                if name in TRAITS:
                    dx, dy = TRAITS[name](base, abs(x), y)
                    basis[row, p, :2] = (sign * dx, dy)
                else:
                    basis[row, p, 1] = ASYMMETRIC[name](base, abs(x), y)[1] * (x / 0.5 if abs(x) < 0.5 else sign)
    return basis


#: (T, N, 3) displacements of all points by each trait.
TRAIT_BASIS = _trait_basis()
