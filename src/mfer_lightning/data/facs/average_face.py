"""The control points of the average face, and the smooth curves through them.

Units: the head is about 2.75 high. The origin lies between the eyes and the nose tip; x points to the image's right
(the person's left), y down, z towards the viewer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

#: Points of the person's left half (x > 0); the right half mirrors them. Each: (x, y), and a height over the skull.
_PAIRED: Mapping[str, tuple[float, tuple[tuple[float, float], ...]]] = {
    "contour": (
        -9.0,  # the outline lies in a plane of its own, see `_depth`
        (
            (0.36, -1.34),
            (0.66, -1.10),
            (0.82, -0.70),
            (0.87, -0.22),
            (0.85, 0.22),
            (0.77, 0.64),
            (0.60, 1.00),
            (0.34, 1.26),
        ),
    ),
    "ear": (-8.0, ((0.82, -0.20), (0.93, -0.27), (1.02, -0.16), (0.99, 0.08), (0.92, 0.27), (0.83, 0.24))),
    "brow_up": (0.02, ((0.15, -0.405), (0.26, -0.465), (0.40, -0.495), (0.54, -0.455), (0.65, -0.355))),
    "brow_lo": (0.02, ((0.155, -0.325), (0.26, -0.375), (0.40, -0.415), (0.53, -0.395), (0.65, -0.345))),
    "lid_up": (0.0, ((0.195, -0.075), (0.27, -0.165), (0.38, -0.205), (0.49, -0.17), (0.575, -0.10))),
    "lid_lo": (0.0, ((0.195, -0.075), (0.28, -0.025), (0.38, -0.005), (0.49, -0.03), (0.575, -0.10))),
    "crease": (0.0, ((0.20, -0.14), (0.27, -0.215), (0.38, -0.255), (0.50, -0.22), (0.60, -0.13))),
    "bag": (0.0, ((0.22, 0.01), (0.30, 0.06), (0.40, 0.075), (0.52, 0.04))),
    "iris": (0.0, ((0.385, -0.105),)),
    "ridge": (0.16, ((0.10, -0.20), (0.075, 0.02), (0.08, 0.20), (0.13, 0.36))),
    "wing": (0.08, ((0.155, 0.30), (0.215, 0.37), (0.205, 0.46), (0.14, 0.485))),
    "nostril": (0.16, ((0.085, 0.462),)),
    "nasolabial": (0.04, ((0.22, 0.36), (0.33, 0.50), (0.42, 0.64), (0.46, 0.80))),
    "cheek": (0.02, ((0.40, 0.22), (0.58, 0.18), (0.68, 0.34), (0.56, 0.50), (0.38, 0.42))),
    "corner": (0.03, ((0.35, 0.780),)),
    "dimple": (0.03, ((0.43, 0.68), (0.465, 0.76), (0.43, 0.86))),
    "lip_ou": (0.09, ((0.22, 0.725), (0.08, 0.685))),
    "lip_iu": (0.07, ((0.20, 0.782), (0.08, 0.786))),
    "lip_il": (0.07, ((0.20, 0.784), (0.08, 0.790))),
    "lip_ol": (0.08, ((0.23, 0.855), (0.10, 0.895))),
    "crow": (0.0, ((0.63, -0.16), (0.74, -0.23), (0.64, -0.10), (0.77, -0.09), (0.63, -0.04), (0.73, 0.04))),
    "glabella": (0.04, ((0.055, -0.47), (0.07, -0.28))),
    "bunny": (0.14, ((0.03, -0.10), (0.13, -0.14), (0.03, -0.02), (0.13, -0.04))),
    "furrow": (0.02, ((0.20, -0.63), (0.42, -0.60), (0.21, -0.76), (0.43, -0.73), (0.18, -0.89), (0.36, -0.86))),
    "moustache": (0.09, ((0.12, 0.56), (0.28, 0.60), (0.41, 0.76), (0.30, 0.715), (0.12, 0.675))),
    "beard": (0.02, ((0.84, 0.02), (0.74, 0.36), (0.58, 0.58), (0.47, 0.74), (0.42, 0.90), (0.22, 0.965))),
    "goatee": (0.04, ((0.15, 0.97), (0.22, 1.10), (0.18, 1.26))),
    "hair_out": (-8.5, ((0.42, -1.45), (0.74, -1.20), (0.90, -0.80), (0.93, -0.45), (0.90, -0.12))),
    "hair_in": (-8.8, ((0.28, -0.98), (0.56, -0.88), (0.72, -0.64), (0.785, -0.38), (0.82, -0.12))),
    "back": (-7.0, ((0.55, -1.40), (0.92, -0.95), (1.00, -0.30), (0.99, 0.40), (0.96, 1.00), (0.55, 1.06))),
    "frame": (
        0.10,
        (
            (0.14, -0.08),
            (0.20, -0.24),
            (0.38, -0.28),
            (0.58, -0.24),
            (0.65, -0.08),
            (0.56, 0.09),
            (0.38, 0.12),
            (0.21, 0.07),
        ),
    ),
    "temple": (-8.0, ((0.88, -0.14),)),
}

#: Points on the midline: y, and a height over the skull.
_CENTRAL: Mapping[str, tuple[float, float]] = {
    "top": (-1.42, -9.0),
    "chin": (1.34, -9.0),
    "root": (-0.16, 0.10),
    "tip": (0.37, 0.36),
    "base": (0.50, 0.20),
    "lip_ou0": (0.712, 0.10),
    "lip_iu0": (0.790, 0.08),
    "lip_il0": (0.794, 0.08),
    "lip_ol0": (0.905, 0.09),
    "furrow0": (-0.625, 0.03),
    "furrow1": (-0.755, 0.03),
    "furrow2": (-0.89, 0.03),
    "moustache0": (0.555, 0.10),
    "moustache1": (0.675, 0.10),
    "beard0": (0.985, 0.06),
    "goatee0": (0.955, 0.06),
    "goatee1": (1.31, 0.02),
    "hair_out0": (-1.52, -8.5),
    "hair_in0": (-1.00, -8.8),
    "back0": (-1.53, -7.0),
    "boss": (1.12, 0.06),
}

#: Depths of the points that do not lie on the front of the skull: outline, hair, ears, hair behind the head.
_PLANES = {-9.0: 0.05, -8.8: 0.30, -8.5: -0.05, -8.0: -0.20, -7.0: -0.35}


def _depth(x: float, y: float, height: float) -> float:
    if height in _PLANES:
        return _PLANES[height]
    skull = 0.80 * max(0.05, 1.0 - (x / 0.98) ** 2 - 0.55 * ((y - 0.05) / 1.45) ** 2) ** 0.5
    return float(skull + height)


def _assemble() -> tuple[FloatArray, dict[str, NDArray[np.intp]]]:
    points: list[tuple[float, float, float]] = []
    index: dict[str, NDArray[np.intp]] = {}
    for side, sign in (("R", -1.0), ("L", 1.0)):
        for name, (height, pairs) in _PAIRED.items():
            index[f"{name}.{side}"] = np.arange(len(points), len(points) + len(pairs))
            points += [(sign * x, y, _depth(x, y, height)) for x, y in pairs]
    for name, (y, height) in _CENTRAL.items():
        index[name] = np.array([len(points)])
        points.append((0.0, y, _depth(0.0, y, height)))
    return np.array(points), index


#: (N, 3) control points of the average face, and the rows of each named group ("brow_up.L", "chin", ...).
POINTS, INDEX = _assemble()


def rows(*names: str) -> list[int]:
    """Rows of named groups, one after the other; a leading ``-`` reverses a group, ``[k:]`` cuts it.

    Example:
        >>> rows("chin", "-iris.L") == [int(INDEX["chin"][0]), int(INDEX["iris.L"][0])]
        True
    """
    found: list[int] = []
    for name in names:
        backwards = name.startswith("-")
        group, _, cut = name.lstrip("-").partition("[")
        part = INDEX[group][int(cut.rstrip(":]") or 0) :] if cut else INDEX[group]
        found += (part[::-1] if backwards else part).tolist()
    return found


def _both(inner: str, *middle: str) -> list[int]:
    """A chain across the face: the right half outwards in, the midline, the left half inwards out."""
    return rows(f"-{inner}.R", *middle, f"{inner}.L")


def _lip(name: str) -> list[int]:
    return rows("corner.R", f"{name}.R", f"{name}0", f"-{name}.L", "corner.L")


#: Curves: rows they pass through, whether closed, and samples between two control points.
_CURVES: dict[str, tuple[Sequence[int], bool, int]] = {
    "head": (rows("top", "contour.L", "chin", "-contour.R"), True, 4),
    "jaw": (rows("contour.R[4:]", "chin", "-contour.L[4:]"), False, 4),
    "lip_ou": (_lip("lip_ou"), False, 4),
    "lip_iu": (_lip("lip_iu"), False, 4),
    "lip_il": (_lip("lip_il"), False, 4),
    "lip_ol": (_lip("lip_ol"), False, 4),
    "nose_under": (rows("-wing.R[1:]", "base", "wing.L[1:]"), False, 4),
    "furrow0": ([*rows("-furrow.R")[4:], *rows("furrow0"), *rows("furrow.L")[:2]], False, 3),
    "furrow1": ([*rows("-furrow.R")[2:4], *rows("furrow1"), *rows("furrow.L")[2:4]], False, 3),
    "furrow2": ([*rows("-furrow.R")[:2], *rows("furrow2"), *rows("furrow.L")[4:]], False, 3),
    "moustache": (
        [*rows("-moustache.R")[2:], *rows("moustache0"), *rows("moustache.L")[:3]],
        False,
        3,
    ),
    "moustache_lo": ([*rows("moustache.R")[2:], *rows("moustache1"), *rows("-moustache.L")[:3]], False, 3),
    "beard_in": (rows("beard.R", "beard0", "-beard.L"), False, 4),
    "goatee": (rows("-goatee.R", "goatee0", "goatee.L", "goatee1"), True, 4),
    "hair_out": (_both("hair_out", "hair_out0"), False, 5),
    "hair_in": (_both("hair_in", "hair_in0"), False, 5),
    "back": (_both("back", "back0"), False, 4),
}
_EACH_SIDE = "ear lid_up lid_lo brow_up brow_lo crease bag ridge wing nasolabial cheek dimple frame"
for _side in "RL":
    for _name in _EACH_SIDE.split():
        _CURVES[f"{_name}.{_side}"] = (rows(f"{_name}.{_side}"), _name in ("ear", "cheek", "frame"), 3)


def _catmull_rom(count: int, closed: bool, samples: int) -> FloatArray:
    """(M, count) weights of a uniform Catmull-Rom spline through ``count`` points."""
    segments = count if closed else count - 1
    weights = np.zeros((segments * samples + (not closed), count))
    for m in range(len(weights)):
        segment, t = divmod(m / samples, 1.0)
        start = int(segment)
        if start == segments:  # the last point of an open curve
            start, t = segments - 1, 1.0
        basis = (
            0.5 * (-t + 2 * t**2 - t**3),
            0.5 * (2 - 5 * t**2 + 3 * t**3),
            0.5 * (t + 4 * t**2 - 3 * t**3),
            0.5 * (-(t**2) + t**3),
        )
        for offset, weight in enumerate(basis, start=-1):
            place = start + offset
            place = place % count if closed else min(max(place, 0), count - 1)
            weights[m, place] += weight
    return weights


def _splines() -> tuple[FloatArray, dict[str, slice]]:
    blocks: list[FloatArray] = []
    where: dict[str, slice] = {}
    start = 0
    for name, (through, closed, samples) in _CURVES.items():
        local = _catmull_rom(len(through), closed, samples)
        blocks.append(local @ np.eye(len(POINTS))[through])
        where[name] = slice(start, start + len(local))
        start += len(local)
    return np.concatenate(blocks), where


#: (M, N) matrix that turns control points into points along all curves, and where each curve lies in its rows.
SPLINES, CURVES = _splines()

# Four control points make a point of a curve, so the matrix is nearly empty: (M, 4) columns and weights.
_COLUMNS = np.argsort(-abs(SPLINES), axis=1, kind="stable")[:, :4]
_WEIGHTS = np.take_along_axis(SPLINES, _COLUMNS, axis=1)


def trace(points: FloatArray) -> FloatArray:
    """Follow all curves: ``SPLINES @ points``, without its zeros.

    Args:
        points: (N, d) control points.

    Returns:
        (M, d) points along the curves; :data:`CURVES` names the rows.

    Example:
        >>> bool(np.allclose(trace(POINTS), SPLINES @ POINTS))
        True
    """
    return np.asarray(np.einsum("mk,mkd->md", _WEIGHTS, points[_COLUMNS]), dtype=np.float64)
