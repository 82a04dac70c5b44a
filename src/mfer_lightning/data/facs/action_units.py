"""Emotions as distributions over the action units of the Facial Action Coding System.

Reference: P. Ekman, W. V. Friesen, *Facial Action Coding System*, 1978; the prototypes follow EMFACS (Friesen and
Ekman, 1983) as tabulated in Ekman, Friesen and Hager, *FACS Investigator's Guide*, 2002. The relative intensities and
the frequencies of the variants are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.data.facs.random_stream import Stream
from mfer_lightning.emotions import EMOTIONS

#: The action units that the renderer moves, with FACS's names for them.
ACTION_UNITS: Mapping[str, str] = MappingProxyType(
    {
        "AU1": "inner brow raiser",
        "AU2": "outer brow raiser",
        "AU4": "brow lowerer",
        "AU5": "upper lid raiser",
        "AU6": "cheek raiser",
        "AU7": "lid tightener",
        "AU9": "nose wrinkler",
        "AU10": "upper lip raiser",
        "AU12": "lip corner puller",
        "AU14": "dimpler",
        "AU15": "lip corner depressor",
        "AU16": "lower lip depressor",
        "AU17": "chin raiser",
        "AU20": "lip stretcher",
        "AU23": "lip tightener",
        "AU24": "lip pressor",
        "AU25": "lips part",
        "AU26": "jaw drop",
        "AU27": "mouth stretch",
        "AU43": "eye closure",
    }
)

#: Position of each action unit in an activation.
AU_INDEX: Mapping[str, int] = MappingProxyType({name: i for i, name in enumerate(ACTION_UNITS)})

#: Variants of each emotion: their frequency, and the intensity of each action unit at the peak of the expression.
PROTOTYPES: Mapping[str, tuple[tuple[float, Mapping[int, float]], ...]] = MappingProxyType(
    {
        "neutral": ((1.0, {}),),
        "happiness": (
            (0.40, {6: 0.8, 12: 1.0, 25: 0.6}),
            (0.35, {6: 0.8, 12: 1.0}),
            (0.25, {6: 0.9, 12: 1.0, 25: 0.8, 26: 0.45}),
        ),
        "sadness": (
            (0.40, {1: 0.95, 4: 0.65, 15: 1.0}),
            (0.35, {1: 0.95, 4: 0.60, 15: 0.9, 17: 0.7}),
            (0.25, {1: 1.0, 4: 0.70, 15: 0.9, 43: 0.3}),
        ),
        "surprise": (
            (0.45, {1: 1.0, 2: 1.0, 5: 0.9, 26: 1.0}),
            (0.30, {1: 1.0, 2: 1.0, 5: 1.0, 27: 0.8}),
            (0.25, {1: 1.0, 2: 1.0, 5: 0.7, 25: 0.5, 26: 0.7}),
        ),
        "fear": (
            (0.40, {1: 1.0, 2: 0.6, 4: 0.9, 5: 1.0, 20: 1.0, 25: 0.5, 26: 0.3}),
            (0.35, {1: 1.0, 2: 0.5, 4: 0.9, 5: 1.0, 20: 1.0, 25: 0.8}),
            (0.25, {1: 0.9, 2: 0.6, 4: 0.8, 5: 1.0, 7: 0.2, 16: 0.5, 20: 0.9, 25: 0.5}),
        ),
        "disgust": (
            (0.40, {9: 1.0, 15: 0.5, 17: 0.7}),
            (0.30, {9: 1.0, 10: 0.7, 17: 0.7}),
            (0.30, {9: 0.9, 10: 0.9, 16: 0.6, 25: 0.6}),
        ),
        "anger": (
            (0.40, {4: 1.0, 5: 0.6, 7: 0.8, 23: 0.9}),
            (0.30, {4: 1.0, 5: 0.5, 7: 0.7, 17: 0.3, 24: 0.9}),
            (0.30, {4: 1.0, 5: 0.7, 7: 0.7, 16: 0.6, 23: 0.4, 25: 0.7, 26: 0.3}),
        ),
        "contempt": ((0.50, {12: 0.35, 14: 1.0}), (0.50, {12: 0.55, 14: 0.9})),
    }
)

#: Emotions whose action units are on one side of the face.
UNILATERAL = frozenset({"contempt"})

#: Emotions to mix with each emotion in ambiguous faces: those that people confuse. Contempt is rarely mixed with
#: neutral, although people confuse these most often: with a faint dimple, the dominant emotion would be a matter of
#: chance.
PARTNERS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "neutral": {"sadness": 0.4, "happiness": 0.25, "anger": 0.25, "contempt": 0.1},
        "happiness": {"surprise": 0.5, "neutral": 0.3, "contempt": 0.2},
        "sadness": {"neutral": 0.4, "fear": 0.3, "disgust": 0.15, "anger": 0.15},
        "surprise": {"fear": 0.6, "happiness": 0.4},
        "fear": {"surprise": 0.6, "sadness": 0.4},
        "disgust": {"anger": 0.6, "sadness": 0.2, "contempt": 0.2},
        "anger": {"disgust": 0.6, "neutral": 0.2, "sadness": 0.2},
        "contempt": {"neutral": 0.2, "happiness": 0.4, "disgust": 0.4},
    }
)

#: Incidental movements without emotional meaning here (speech, blinking, a raised brow), and their maximum intensity.
_STRAY: Mapping[int, float] = {1: 0.2, 2: 0.2, 4: 0.15, 7: 0.3, 17: 0.2, 25: 0.35, 26: 0.15, 43: 0.35}


def activation(stream: Stream, weights: Sequence[float], subtlety: float) -> NDArray[np.float64]:
    """Draw the action units of a face that shows a mixture of emotions.

    Args:
        stream: source of random numbers.
        weights: weight of each emotion in the face, in the order of ``EMOTIONS``, summing to 1.
        subtlety: in [0, 1]; the peak intensity of an expression is drawn from ``[0.96 - 0.46 * subtlety, 1]``, and
            asymmetry and incidental movements increase with it.

    Returns:
        (2, A) intensities in [0, 1] of the person's right and left half, A action units.
    """
    units = np.zeros((2, len(ACTION_UNITS)))
    height = stream.uniform(0.96 - 0.46 * subtlety, 1.0)
    for emotion, weight in zip(EMOTIONS, weights, strict=True):
        if weight <= 0:
            continue
        variants = PROTOTYPES[emotion]
        prototype = stream.pick([v[1] for v in variants], [v[0] for v in variants])
        side = int(stream.chance(0.5))
        strength = height * weight**0.8  # in an even mixture, each emotion shows at slightly more than half intensity
        for unit, intensity in prototype.items():
            value = strength * intensity * stream.uniform(1.0 - 0.3 * subtlety, 1.0 + 0.2 * subtlety)
            column = units[:, AU_INDEX[f"AU{unit}"]]
            if emotion in UNILATERAL:
                column[side] = max(column[side], value)
                column[1 - side] = max(column[1 - side], 0.08 * value)
            else:
                np.maximum(column, value, out=column)
    for unit, most in _STRAY.items():
        if stream.chance(0.3):
            units[:, AU_INDEX[f"AU{unit}"]] += subtlety * stream.uniform(0.0, most)
    lean = 0.2 * subtlety * stream.normal()  # one side of a face moves more than the other
    units[0] *= 1.0 - max(lean, 0.0)
    units[1] *= 1.0 + min(lean, 0.0)
    return np.clip(units, 0.0, 1.0)


def as_mapping(units: NDArray[np.float64]) -> dict[str, float]:
    """Return the intensities of an activation by name.

    Args:
        units: (2, A), as returned by :func:`activation`.

    Returns:
        The larger intensity of both sides for each name in :data:`ACTION_UNITS`. The dimpler, whose side matters, is
        returned as ``AU14R`` and ``AU14L`` (the person's right and left).

    Example:
        >>> units = np.zeros((2, len(ACTION_UNITS)))
        >>> units[1, AU_INDEX["AU14"]] = 0.5
        >>> named = as_mapping(units)
        >>> named["AU14L"], named["AU14R"], named["AU12"]
        (0.5, 0.0, 0.0)
    """
    named = dict(zip(ACTION_UNITS, units.max(axis=0).tolist(), strict=True))
    del named["AU14"]
    named["AU14R"], named["AU14L"] = units[:, AU_INDEX["AU14"]].tolist()
    return named
