"""The control points of the average face (``average_face.txt``), and the smooth curves through them.

Units: the head is about 2.75 high. The origin lies between the eyes and the nose tip; x points to the image's right
(the person's left), y down, z towards the viewer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def read_table(name: str) -> list[list[str]]:
    """Read a table in this folder: the words of each non-comment line."""
    lines = Path(__file__).with_name(name).read_text(encoding="ascii").splitlines()
    return [line.split() for line in lines if line and not line.startswith("#")]


def _depth(x: float, y: float, said: str) -> float:
    if said.startswith("="):  # not on the front of the skull: outline, hair, ears
        return float(said[1:])
    return float(0.80 * max(0.05, 1.0 - (x / 0.98) ** 2 - 0.55 * ((y - 0.05) / 1.45) ** 2) ** 0.5 + float(said))


def _assemble() -> tuple[FloatArray, dict[str, NDArray[np.intp]]]:
    points: list[tuple[float, float, float]] = []
    index: dict[str, NDArray[np.intp]] = {}
    groups = [(name, depth, pairs_of(numbers)) for name, depth, *numbers in read_table("average_face.txt")]
    for side, sign in ((".R", -1.0), (".L", 1.0), ("", 1.0)):
        for name, depth, pairs in groups:
            if bool(pairs[0, 0]) == bool(side):  # groups on the midline have no sides
                index[name + side] = np.arange(len(points), len(points) + len(pairs))
                points += [(sign * x, y, _depth(x, y, depth)) for x, y in pairs.tolist()]
    return np.array(points), index


def pairs_of(numbers: Sequence[str]) -> FloatArray:
    """Read numbers in pairs, (n, 2)."""
    return np.array(numbers, dtype=np.float64).reshape(-1, 2)


#: (N, 3) control points of the average face, and the rows of each named group ("brow_up.L", "chin", ...).
POINTS, INDEX = _assemble()


def rows(*names: str) -> list[int]:
    """Return the rows of named groups in sequence; a leading ``-`` reverses a group, ``[k:]`` slices it.

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
    """Return a chain across the face: the right half outwards in, the midline, the left half inwards out."""
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
    "moustache": ([*rows("-moustache.R")[2:], *rows("moustache0"), *rows("moustache.L")[:3]], False, 3),
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


#: (M, N) matrix that maps control points to points along all curves, and the rows of each curve.
SPLINES, CURVES = _splines()

# Each curve point depends on four control points, so the matrix is sparse: (M, 4) columns and weights.
_COLUMNS = np.argsort(-abs(SPLINES), axis=1, kind="stable")[:, :4]
_WEIGHTS = np.take_along_axis(SPLINES, _COLUMNS, axis=1)


def trace(points: FloatArray) -> FloatArray:
    """Compute the points along all curves: ``SPLINES @ points``, without its zeros.

    Args:
        points: (N, d) control points.

    Returns:
        (M, d) points along the curves; :data:`CURVES` names the rows.

    Example:
        >>> bool(np.allclose(trace(POINTS), SPLINES @ POINTS))
        True
    """
    return np.asarray(np.einsum("mk,mkd->md", _WEIGHTS, points[_COLUMNS]), dtype=np.float64)
