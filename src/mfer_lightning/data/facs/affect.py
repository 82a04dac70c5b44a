"""Valence and arousal of the synthetic faces, from their action units.

Ours, without a source: the weights are chosen to place the eight emotions as in the circumplex (Russell, A circumplex
model of affect, Journal of Personality and Social Psychology 1980). They exist to test everything that processes
valence and arousal without a dataset. How well they are predicted here says nothing about photographs, and no such
result is published.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.data.facs.action_units import AU_INDEX

#: Action unit -> contribution of its full intensity to valence and to arousal, before the hyperbolic tangent.
WEIGHTS: Mapping[int, tuple[float, float]] = MappingProxyType(
    {
        1: (-0.05, 0.05),
        2: (0.15, 0.25),
        4: (-0.35, 0.25),
        5: (0.0, 0.45),
        6: (0.3, 0.2),
        7: (-0.1, 0.15),
        9: (-0.6, 0.25),
        10: (-0.3, 0.2),
        12: (0.8, 0.2),
        14: (-0.9, 0.1),
        15: (-0.5, -0.5),
        16: (-0.15, 0.1),
        17: (-0.15, -0.05),
        20: (-0.4, 0.3),
        23: (-0.3, 0.25),
        24: (-0.3, 0.2),
        25: (0.05, 0.15),
        26: (0.05, 0.2),
        27: (0.0, 0.4),
        43: (-0.05, -0.7),
    }
)


def valence_arousal(units: NDArray[np.float64]) -> NDArray[np.float32]:
    """Compute ``tanh`` of the weighted sum of intensities, averaged over both sides of the face.

    Args:
        units: (..., 2, A), as returned by :func:`~mfer_lightning.data.facs.action_units.activation`.

    Returns:
        (..., 2) float32 valence and arousal, within [-1, 1]; 0 for a neutral face.

    Example:
        >>> smile = np.zeros((2, len(AU_INDEX)))
        >>> smile[:, [AU_INDEX["AU6"], AU_INDEX["AU12"]]] = 1.0
        >>> valence_arousal(smile).round(2).tolist()
        [0.800000011920929, 0.3799999952316284]
    """
    weights = np.zeros((len(AU_INDEX), 2))
    for unit, effect in WEIGHTS.items():
        weights[AU_INDEX[f"AU{unit}"]] = effect
    values: NDArray[np.float32] = np.tanh(units.mean(axis=-2) @ weights).astype(np.float32)
    return values
