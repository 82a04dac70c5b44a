"""Detect classes whose names have been swapped.

If a checkpoint and a dataset number their classes in different orders, the measured accuracy is too low. The accuracy
of one published tool rose from 46% to 54% when two labels were swapped back. The symptom is a confusion matrix whose
largest counts are not on the diagonal, but still one per row and column.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.stats import binom

#: Minimum number of faces of a class; smaller classes are not checked.
MIN_FACES = 5
#: Minimum fraction of a class that is predicted as the class it was swapped with: for each class of a cycle, and on
#: average over the cycle. The second limit also applies to the mean recall over all classes after the correction.
MIN_SHARE, MIN_MEAN_SHARE = 0.3, 0.5
#: Minimum ratio, over a cycle, of predictions as the swapped class to correct predictions.
MIN_RATIO = 3.0
#: Upper limits of the probability of the observed counts under correct names: for each class, and for a whole cycle.
EACH_BELOW, ALL_BELOW = 0.05, 1e-5


@dataclass(frozen=True)
class ClassOrderDoubt:
    """Classes whose names seem to be swapped.

    Args:
        called: true class -> predicted name, for the affected classes; each class occurs once as key and once as value.
        accuracy: current accuracy.
        accuracy_if: accuracy after correcting the names.
        message: description in words.
    """

    called: dict[str, str]
    accuracy: float
    accuracy_if: float
    message: str


def doubt_class_order(
    confusion: Sequence[Sequence[int]] | NDArray[np.integer], class_names: Sequence[str]
) -> ClassOrderDoubt | None:
    """Check whether swapping class names would make a confusion matrix nearly diagonal.

    Finds the permutation with the largest diagonal (each class with the same weight), and splits it into cycles. A
    cycle is accepted only if each of its classes is predicted as the class it was swapped with more often than as
    itself and at least as often as any third class, if over the cycle such predictions are at least three times as
    frequent as correct ones, and if such counts are very improbable under correct names. The corrected matrix must also
    be that of a reasonable model, with a mean recall over classes of at least one half. Weak models, models that
    predict a single class, and models that confuse fear with surprise but not surprise with fear are not reported.

    Args:
        confusion: (K,K) counts, with true classes in rows.
        class_names: the K names.

    Returns:
        The suspected swap, or None.

    Raises:
        ValueError: if shapes disagree or counts are negative.

    Example:
        >>> found = doubt_class_order([[2, 38, 0], [33, 5, 2], [1, 0, 39]], ["fear", "surprise", "anger"])
        >>> found.called, round(found.accuracy, 2), round(found.accuracy_if, 2)
        ({'fear': 'surprise', 'surprise': 'fear'}, 0.38, 0.92)
        >>> doubt_class_order([[30, 10, 0], [15, 25, 0], [1, 0, 39]], ["fear", "surprise", "anger"]) is None
        True
    """
    counts = np.asarray(confusion)
    names = [str(name) for name in class_names]
    if counts.shape != (len(names), len(names)) or not len(names):
        raise ValueError(
            f"Expected argument `confusion` to be of shape {(len(names),) * 2}, one row and column per class name, "
            f"but got {counts.shape}."
        )
    if (counts < 0).any():
        raise ValueError(f"Expected argument `confusion` to contain counts of 0 or more, but got {counts.min()}.")
    faces = counts.sum(axis=1)
    share = counts / np.maximum(faces, 1)[:, None]
    # of equally good permutations, use the one that moves the fewest classes
    _, called = linear_sum_assignment(share + 1e-9 * np.eye(len(names)), maximize=True)
    order = np.arange(len(names))
    for cycle in _cycles(called):
        if _believed(cycle, called, counts, share, faces):
            order[cycle] = called[cycle]
    moved = np.flatnonzero(order != np.arange(len(names)))
    # the corrected matrix must be nearly diagonal, because the errors of a weak model may look like a swap
    if not len(moved) or share[np.arange(len(names)), order][faces > 0].mean() < MIN_MEAN_SHARE:
        return None
    n = max(int(faces.sum()), 1)
    accuracy, accuracy_if = float(np.trace(counts) / n), float(counts[np.arange(len(names)), order].sum() / n)
    pairs = {names[k]: names[order[k]] for k in moved}
    said = ", ".join(f"{share[k, order[k]]:.0%} of {names[k]} is predicted as {names[order[k]]}" for k in moved)
    what = (
        f"the names of {' and '.join(pairs)} seem to be swapped"
        if len(pairs) == 2
        else f"the order of the classes {', '.join(pairs)} seems to be wrong"
    )
    said = said[0].upper() + said[1:]
    message = (
        f"Check the class order: {what}. {said}. With the corrected order, accuracy would be {accuracy_if:.1%} "
        f"instead of {accuracy:.1%}. Compare the names in the checkpoint with those of the dataset."
    )
    return ClassOrderDoubt(pairs, accuracy, accuracy_if, message)


def _cycles(permutation: NDArray[np.integer]) -> list[list[int]]:
    """Return the cycles of a permutation with more than one member."""
    left, cycles = set(range(len(permutation))), []
    while left:
        cycle = [min(left)]
        while (following := int(permutation[cycle[-1]])) != cycle[0]:
            cycle.append(following)
        left -= set(cycle)
        if len(cycle) > 1:
            cycles.append(cycle)
    return cycles


def _believed(
    cycle: list[int],
    called: NDArray[np.integer],
    counts: NDArray[np.integer],
    share: NDArray[np.float64],
    faces: NDArray[np.integer],
) -> bool:
    """Whether the names are wrong beyond reasonable doubt, see :func:`doubt_class_order`."""
    chances = []
    for k in cycle:
        other = called[k]
        if faces[k] < MIN_FACES or share[k, other] < max(MIN_SHARE, share[k].max()):
            return False
        # under correct names, a prediction of the face's own class is at least as likely as one of this other class
        own, wrong = int(counts[k, k]), int(counts[k, other])
        chances.append(float(binom.sf(wrong - 1, own + wrong, 0.5)))
    other_name, own_name = share[cycle, called[cycle]].mean(), share[cycle, cycle].mean()
    plain = other_name >= max(MIN_MEAN_SHARE, MIN_RATIO * own_name)
    return bool(plain and max(chances) < EACH_BELOW and math.prod(chances) < ALL_BELOW)
