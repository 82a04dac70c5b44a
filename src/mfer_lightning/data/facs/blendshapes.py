"""Blend shapes (``blendshapes.txt``): the linear basis by which action units move the points of the average face."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mfer_lightning.data.facs.action_units import ACTION_UNITS, AU_INDEX
from mfer_lightning.data.facs.average_face import INDEX, POINTS, FloatArray, pairs_of, read_table, rows

#: Points that follow the skin around them, unless an action unit names them.
_FOLLOWERS = ("crease", "bag", "nasolabial", "dimple", "moustache", "beard", "goatee", "crow", "glabella", "bunny")
_CENTRAL_FOLLOWERS = ("moustache0", "moustache1", "beard0", "goatee0", "goatee1", "furrow0", "furrow1", "furrow2")
_REACH = 0.11


def _displacements() -> dict[str, dict[str, FloatArray]]:
    """Read the effect of each action unit: unit -> group of points -> (n, 2) displacements."""
    units: dict[str, dict[str, FloatArray]] = {}
    for unit, group, *numbers in read_table("blendshapes.txt"):
        for name in ("brow_up", "brow_lo") if group == "brow" else (group,):
            units.setdefault(unit, {})[name] = pairs_of(numbers)
    return units


def _unit_basis() -> FloatArray:
    """Return the (2, A, N, 3) displacements for the action units of the right and left half."""
    basis = np.zeros((2, len(ACTION_UNITS), len(POINTS), 3))
    units = _displacements()
    sources = sorted({group for groups in units.values() for group in groups})
    for unit, groups in units.items():
        for side, (letter, sign) in enumerate((("R", -1.0), ("L", 1.0))):
            field = basis[side, AU_INDEX[unit]]
            for group, vectors in groups.items():
                if group in INDEX:  # on the midline, each half contributes half
                    field[INDEX[group], 1] = vectors[0, 1] / 2
                else:
                    field[INDEX[f"{group}.{letter}"], :2] = vectors * (sign, 1.0)
            followers = [*(g for g in _FOLLOWERS if g not in groups), *_CENTRAL_FOLLOWERS]
            _carry(field, _rows_of(sources, letter), _rows_of(followers, letter))
    return basis


def _rows_of(groups: Sequence[str], letter: str) -> list[int]:
    return rows(*(group if group in INDEX else f"{group}.{letter}" for group in groups))


def _carry(field: FloatArray, sources: list[int], followers: list[int]) -> None:
    """Move points with the skin: a Gaussian-weighted mean of nearby displacements, decreasing with distance."""
    gap = POINTS[followers][:, None, :2] - POINTS[sources][None, :, :2]
    weight = np.exp(-0.5 * (gap**2).sum(axis=-1) / _REACH**2)
    field[followers] += weight @ field[sources] / (weight.sum(axis=1, keepdims=True) + 0.5)


#: (2, A, N, 3) displacements of all points by each action unit of the right and of the left half.
UNIT_BASIS = _unit_basis()
