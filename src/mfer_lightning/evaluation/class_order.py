"""Detect classes that are only called by each other's names.

A checkpoint and a dataset that count their classes in different orders give a model that looks weak and is not: one
published tool went from 46% to 54% when two labels were exchanged. The trace it leaves is a confusion matrix whose mass
lies on a permutation instead of on the diagonal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.stats import binom

#: Faces that a class needs before anything is said of it.
MIN_FACES = 5
#: Least share of a class that bears the other name, for each class; and in the mean of a cycle and of all classes.
MIN_SHARE, MIN_MEAN_SHARE = 0.3, 0.5
#: How many times as often the classes of a cycle are called by the other name as by their own, at least.
MIN_RATIO = 3.0
#: How improbable the counts of each class, and of a whole cycle, must be for names that are right.
EACH_BELOW, ALL_BELOW = 0.05, 1e-5


@dataclass(frozen=True)
class ClassOrderDoubt:
    """Classes that are called by each other's names.

    Args:
        called: true class -> the class that it is called, for those that are moved; each occurs once on either side.
        accuracy: share of right predictions as things stand.
        accuracy_if: what it would be if the names were put right.
        message: both in words.
    """

    called: dict[str, str]
    accuracy: float
    accuracy_if: float
    message: str


def doubt_class_order(
    confusion: Sequence[Sequence[int]] | NDArray[np.integer], class_names: Sequence[str]
) -> ClassOrderDoubt | None:
    """Find out whether exchanging names of classes would turn a confusion matrix nearly diagonal.

    The permutation that puts most onto the diagonal is sought (each class weighing the same), and taken apart into its
    cycles. A cycle is only believed where each of its classes is called by the other name more often than by its own
    and than by any third, all of them together three times as often, and where counts like these are very improbable
    for names that are right; and the matrix put right must be that of a fair model, of half of each class on average.
    A weak model, one that calls everything by one name, or one that takes fear for surprise but not surprise for fear
    raises no doubt.

    Args:
        confusion: (K,K) counts, the truth in rows.
        class_names: the K names.

    Returns:
        What is doubted, or None.

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
            f"Expected argument `confusion` to be of shape {(len(names),) * 2} as there are class_names, "
            f"but got {counts.shape}."
        )
    if (counts < 0).any():
        raise ValueError(f"Expected argument `confusion` to hold counts of 0 or more, but got {counts.min()}.")
    faces = counts.sum(axis=1)
    share = counts / np.maximum(faces, 1)[:, None]
    # of equally good permutations the one that moves the fewest classes
    _, called = linear_sum_assignment(share + 1e-9 * np.eye(len(names)), maximize=True)
    order = np.arange(len(names))
    for cycle in _cycles(called):
        if _believed(cycle, called, counts, share, faces):
            order[cycle] = called[cycle]
    moved = np.flatnonzero(order != np.arange(len(names)))
    # nearly diagonal: a model that is weak in any order has errors of its own, which may well look like a swap
    if not len(moved) or share[np.arange(len(names)), order][faces > 0].mean() < MIN_MEAN_SHARE:
        return None
    n = max(int(faces.sum()), 1)
    accuracy, accuracy_if = float(np.trace(counts) / n), float(counts[np.arange(len(names)), order].sum() / n)
    pairs = {names[k]: names[order[k]] for k in moved}
    said = ", ".join(f"{share[k, order[k]]:.0%} of {names[k]} is called {names[order[k]]}" for k in moved)
    what = (
        f"the names of {' and '.join(pairs)} look swapped"
        if len(pairs) == 2
        else f"the order of the classes {', '.join(pairs)} looks wrong"
    )
    said = said[0].upper() + said[1:]
    message = (
        f"Check the class order: {what}. {said}. Put right, accuracy would be {accuracy_if:.1%}, not {accuracy:.1%}. "
        "Compare the names in the checkpoint with those of the dataset."
    )
    return ClassOrderDoubt(pairs, accuracy, accuracy_if, message)


def _cycles(permutation: NDArray[np.integer]) -> list[list[int]]:
    """Take a permutation apart into its cycles of more than one member."""
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
    """Whether names are wrong beyond reasonable doubt: see :func:`doubt_class_order`."""
    chances = []
    for k in cycle:
        other = called[k]
        if faces[k] < MIN_FACES or share[k, other] < max(MIN_SHARE, share[k].max()):
            return False
        # with names that are right, a face is at least as likely called by its own name as by this other one
        own, wrong = int(counts[k, k]), int(counts[k, other])
        chances.append(float(binom.sf(wrong - 1, own + wrong, 0.5)))
    other_name, own_name = share[cycle, called[cycle]].mean(), share[cycle, cycle].mean()
    plain = other_name >= max(MIN_MEAN_SHARE, MIN_RATIO * own_name)
    return bool(plain and max(chances) < EACH_BELOW and math.prod(chances) < ALL_BELOW)
