"""Blend shapes: the linear basis by which action units move the control points of the average face."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mfer_lightning.data.facs.action_units import ACTION_UNITS, AU_INDEX
from mfer_lightning.data.facs.average_face import INDEX, POINTS, FloatArray

#: Displacements (dx, dy) of the person's left half at full intensity, a pair a point of the group; one pair moves all.
_UNITS: Mapping[int, Mapping[str, tuple[tuple[float, float], ...]]] = {
    1: {
        "brow": ((-0.01, -0.21), (-0.01, -0.17), (0.0, -0.08), (0.0, -0.01), (0.0, 0.0)),
        "lid_up": ((0.0, 0.0), (0.0, -0.012), (0.0, -0.005), (0.0, 0.0), (0.0, 0.0)),
    },
    2: {"brow": ((0.0, -0.03), (0.0, -0.07), (0.0, -0.14), (0.01, -0.18), (0.01, -0.15))},
    4: {
        "brow": ((-0.05, 0.12), (-0.045, 0.10), (-0.03, 0.085), (-0.01, 0.045), (0.0, 0.01)),
        "lid_up": ((0.0, 0.0), (0.0, 0.025), (0.0, 0.02), (0.0, 0.005), (0.0, 0.0)),
    },
    5: {
        "lid_up": ((0.0, -0.004), (0.0, -0.06), (0.0, -0.075), (0.0, -0.06), (0.0, -0.01)),
        "lid_lo": ((0.0, -0.004), (0.0, 0.012), (0.0, 0.016), (0.0, 0.012), (0.0, -0.01)),
        "brow": ((0.0, -0.01),),
    },
    6: {
        "lid_lo": ((0.0, 0.0), (0.0, -0.035), (0.0, -0.055), (0.0, -0.05), (0.0, -0.01)),
        "lid_up": ((0.0, 0.0), (0.0, 0.008), (0.0, 0.02), (0.0, 0.03), (0.0, 0.0)),
        "cheek": ((0.02, -0.09),),
        "bag": ((0.0, -0.04),),
        "brow": ((0.0, 0.0), (0.0, 0.0), (0.0, 0.01), (0.0, 0.02), (0.0, 0.03)),
    },
    7: {
        "lid_lo": ((0.0, 0.0), (0.0, -0.045), (0.0, -0.06), (0.0, -0.045), (0.0, 0.0)),
        "lid_up": ((0.0, 0.0), (0.0, 0.015), (0.0, 0.025), (0.0, 0.015), (0.0, 0.0)),
        "bag": ((0.0, -0.03),),
    },
    9: {
        "brow": ((-0.03, 0.07), (-0.02, 0.06), (-0.01, 0.04), (0.0, 0.02), (0.0, 0.0)),
        "wing": ((0.02, -0.07), (0.035, -0.08), (0.03, -0.075), (0.02, -0.05)),
        "nostril": ((0.01, -0.05),),
        "tip": ((0.0, -0.02),),
        "base": ((0.0, -0.02),),
        "lip_ou": ((0.0, -0.06), (0.0, -0.065)),
        "lip_ou0": ((0.0, -0.03),),
        "lip_iu": ((0.0, -0.02), (0.0, -0.02)),
        "lid_lo": ((0.0, 0.0), (0.0, -0.05), (0.0, -0.05), (0.0, -0.03), (0.0, 0.0)),
        "lid_up": ((0.0, 0.0), (0.0, 0.03), (0.0, 0.025), (0.0, 0.015), (0.0, 0.0)),
        "nasolabial": ((0.0, -0.07), (0.03, -0.06), (0.02, -0.04), (0.0, 0.0)),
        "cheek": ((-0.02, -0.06),),
    },
    10: {
        "lip_ou": ((0.01, -0.11), (0.0, -0.09)),
        "lip_ou0": ((0.0, -0.035),),
        "lip_iu": ((0.0, -0.085), (0.0, -0.06)),
        "lip_iu0": ((0.0, -0.025),),
        "wing": ((0.01, -0.03), (0.02, -0.035), (0.02, -0.03), (0.01, -0.02)),
        "nasolabial": ((0.0, -0.05), (0.03, -0.05), (0.03, -0.03), (0.01, 0.0)),
        "corner": ((0.0, 0.015),),
    },
    12: {
        "corner": ((0.13, -0.15),),
        "lip_ou": ((0.065, -0.055), (0.02, 0.0)),
        "lip_ou0": ((0.0, 0.012),),
        "lip_iu": ((0.06, -0.06), (0.02, -0.005)),
        "lip_iu0": ((0.0, 0.012),),
        "lip_il": ((0.06, -0.045), (0.02, 0.0)),
        "lip_il0": ((0.0, 0.012),),
        "lip_ol": ((0.07, -0.05), (0.03, -0.01)),
        "lip_ol0": ((0.0, 0.005),),
        "cheek": ((0.03, -0.05),),
        "nasolabial": ((0.01, -0.01), (0.06, -0.03), (0.10, -0.05), (0.12, -0.05)),
        "wing": ((0.01, 0.0), (0.015, -0.005), (0.015, -0.005), (0.01, 0.0)),
        "contour": ((0.0, 0.0),) * 4 + ((0.02, 0.0), (0.03, 0.0), (0.0, 0.0), (0.0, 0.0)),
    },
    14: {
        "corner": ((0.115, -0.155),),
        "lip_ou": ((0.07, -0.065), (0.025, -0.005)),
        "lip_iu": ((0.065, -0.08), (0.025, -0.01)),
        "lip_il": ((0.065, -0.075), (0.025, -0.01)),
        "lip_ol": ((0.07, -0.085), (0.025, -0.015)),
        "dimple": ((0.085, -0.06), (0.10, -0.085), (0.085, -0.075)),
        "nasolabial": ((0.0, 0.0), (0.02, -0.02), (0.055, -0.05), (0.07, -0.06)),
    },
    15: {
        "corner": ((0.02, 0.135),),
        "lip_ou": ((0.01, 0.05), (0.0, 0.0)),
        "lip_iu": ((0.01, 0.055), (0.0, 0.0)),
        "lip_il": ((0.01, 0.06), (0.0, 0.005)),
        "lip_ol": ((0.015, 0.065), (0.0, 0.01)),
        "nasolabial": ((0.0, 0.0), (0.0, 0.01), (0.01, 0.03), (0.02, 0.07)),
    },
    16: {
        "lip_il": ((0.02, 0.085), (0.0, 0.095)),
        "lip_il0": ((0.0, 0.09),),
        "lip_ol": ((0.02, 0.09), (0.0, 0.08)),
        "lip_ol0": ((0.0, 0.075),),
    },
    17: {
        "lip_ol": ((0.0, -0.055), (0.0, -0.075)),
        "lip_ol0": ((0.0, -0.08),),
        "lip_il": ((0.0, -0.03), (0.0, -0.05)),
        "lip_il0": ((0.0, -0.055),),
        "lip_iu": ((0.0, -0.03), (0.0, -0.05)),
        "lip_iu0": ((0.0, -0.055),),
        "lip_ou": ((0.0, -0.015), (0.0, -0.03)),
        "lip_ou0": ((0.0, -0.035),),
        "boss": ((0.0, -0.08),),
        "corner": ((0.0, 0.02),),
    },
    20: {
        "corner": ((0.165, 0.045),),
        "lip_ou": ((0.08, 0.025), (0.03, 0.01)),
        "lip_iu": ((0.08, 0.02), (0.03, 0.0)),
        "lip_il": ((0.08, 0.035), (0.03, 0.02)),
        "lip_ol": ((0.09, 0.02), (0.03, 0.0)),
        "contour": ((0.0, 0.0),) * 5 + ((0.03, 0.0), (0.03, 0.0), (0.0, 0.0)),
    },
    23: {
        "corner": ((-0.075, 0.0),),
        "lip_ou": ((-0.035, 0.025), (-0.01, 0.03)),
        "lip_ou0": ((0.0, 0.02),),
        "lip_ol": ((-0.035, -0.03), (-0.01, -0.04)),
        "lip_ol0": ((0.0, -0.045),),
        "lip_iu": ((-0.035, 0.0), (-0.01, 0.0)),
        "lip_il": ((-0.035, 0.0), (-0.01, 0.0)),
    },
    24: {
        "corner": ((-0.045, 0.005),),
        "lip_ou": ((-0.02, 0.04), (0.0, 0.055)),
        "lip_ou0": ((0.0, 0.045),),
        "lip_ol": ((-0.02, -0.045), (0.0, -0.06)),
        "lip_ol0": ((0.0, -0.065),),
    },
    25: {
        "lip_iu": ((0.0, -0.03), (0.0, -0.03)),
        "lip_iu0": ((0.0, -0.025),),
        "lip_ou": ((0.0, -0.015), (0.0, -0.015)),
        "lip_ou0": ((0.0, -0.01),),
        "lip_il": ((0.0, 0.06), (0.0, 0.07)),
        "lip_il0": ((0.0, 0.07),),
        "lip_ol": ((0.0, 0.055), (0.0, 0.06)),
        "lip_ol0": ((0.0, 0.06),),
    },
    26: {
        "corner": ((-0.085, 0.085),),
        "lip_iu": ((-0.04, -0.02), (0.0, -0.025)),
        "lip_iu0": ((0.0, -0.02),),
        "lip_ou": ((-0.05, -0.005), (0.0, -0.015)),
        "lip_il": ((-0.02, 0.21), (0.0, 0.25)),
        "lip_il0": ((0.0, 0.26),),
        "lip_ol": ((-0.02, 0.205), (0.0, 0.235)),
        "lip_ol0": ((0.0, 0.235),),
        "contour": ((0.0, 0.0),) * 5 + ((-0.01, 0.03), (-0.02, 0.10), (-0.01, 0.16)),
        "chin": ((0.0, 0.17),),
        "boss": ((0.0, 0.17),),
    },
    27: {
        "corner": ((-0.11, 0.14),),
        "lip_iu": ((-0.03, -0.03), (0.0, -0.03)),
        "lip_iu0": ((0.0, -0.025),),
        "lip_ou": ((-0.04, -0.01), (0.0, -0.015)),
        "lip_il": ((-0.03, 0.32), (0.0, 0.38)),
        "lip_il0": ((0.0, 0.39),),
        "lip_ol": ((-0.03, 0.31), (0.0, 0.355)),
        "lip_ol0": ((0.0, 0.355),),
        "contour": ((0.0, 0.0),) * 5 + ((-0.02, 0.05), (-0.03, 0.16), (-0.02, 0.24)),
        "chin": ((0.0, 0.26),),
        "boss": ((0.0, 0.27),),
    },
    43: {
        "lid_up": ((0.0, 0.01), (0.0, 0.115), (0.0, 0.17), (0.0, 0.12), (0.0, 0.01)),
        "lid_lo": ((0.0, 0.01), (0.0, -0.012), (0.0, -0.016), (0.0, -0.012), (0.0, 0.01)),
        "crease": ((0.0, 0.05),),
    },
}

#: Points that follow the skin around them, unless an action unit names them.
_FOLLOWERS = ("crease", "bag", "nasolabial", "dimple", "moustache", "beard", "goatee", "crow", "glabella", "bunny")
_CENTRAL_FOLLOWERS = ("moustache0", "moustache1", "beard0", "goatee0", "goatee1", "furrow0", "furrow1", "furrow2")
_REACH = 0.11


def _unit_basis() -> FloatArray:
    """(2, A, N, 3): displacements by the right and the left half's action units."""
    basis = np.zeros((2, len(ACTION_UNITS), len(POINTS), 3))
    sources = sorted({g for groups in _UNITS.values() for g in groups} - {"brow"} | {"brow_up", "brow_lo"})
    for unit, groups in _UNITS.items():
        moved: dict[str, tuple[tuple[float, float], ...]] = {}
        for group, vectors in groups.items():
            for name in ("brow_up", "brow_lo") if group == "brow" else (group,):
                moved[name] = vectors
        for side, (letter, sign) in enumerate((("R", -1.0), ("L", 1.0))):
            field = basis[side, AU_INDEX[f"AU{unit}"]]
            for group, vectors in moved.items():
                if group in INDEX:  # on the midline: each half does half the work
                    field[INDEX[group], 1] = vectors[0][1] / 2
                else:
                    field[INDEX[f"{group}.{letter}"], :2] = np.array(vectors) * (sign, 1.0)
            _carry(field, [r for g in sources for r in _rows_of(g, letter)], _follower_rows(letter, moved))
    return basis


def _rows_of(group: str, letter: str) -> list[int]:
    found: list[int] = INDEX[group if group in INDEX else f"{group}.{letter}"].tolist()
    return found


def _follower_rows(letter: str, moved: Mapping[str, object]) -> list[int]:
    found = [r for g in _FOLLOWERS if g not in moved for r in _rows_of(g, letter)]
    return found + [r for g in _CENTRAL_FOLLOWERS for r in _rows_of(g, letter)]


def _carry(field: FloatArray, sources: list[int], followers: list[int]) -> None:
    """Let points follow the skin: a Gaussian-weighted mean of their neighbours' displacements, fading with distance."""
    gap = POINTS[followers][:, None, :2] - POINTS[sources][None, :, :2]
    weight = np.exp(-0.5 * (gap**2).sum(axis=-1) / _REACH**2)
    field[followers] += weight @ field[sources] / (weight.sum(axis=1, keepdims=True) + 0.5)


#: (2, A, N, 3) displacements of all points by each action unit of the right and of the left half.
UNIT_BASIS = _unit_basis()
