"""Create training targets from labels or annotators' votes, by the rules of the FERPlus paper.

Paper: Barsoum, Zhang, Canton Ferrer, Zhang, "Training Deep Networks for Facial Expression Recognition with
Crowd-Sourced Label Distribution", ICMI 2016 (arXiv 1608.01041). Original repository: microsoft/FERPlus.
The rules are implemented and vectorised from their published description. ``argmax`` (the label that SCN, DMUE and
others evaluate on) and ``votes`` (the distribution of votes) are additions. Columns are found by name, so the rules
apply to any dataset with votes. ``argmax`` and ``votes`` ignore votes in columns that are not classes (``unknown``,
``NF``); under the other rules, these votes count against all classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Rules that need votes, in the order used by help texts.
VOTE_RULES = ("majority", "crossentropy", "probability", "multi", "argmax", "votes")

#: Legal values of ``dataset.target``.
TARGET_RULES = ("label", *VOTE_RULES)

#: Rule -> kind of target; ``probability`` samples one class each time a face is loaded.
TARGET_KINDS = dict.fromkeys(("label", "majority", "argmax", "probability"), "one-hot") | {
    "crossentropy": "distribution",
    "votes": "distribution",
    "multi": "multi-hot",
}


class Targets(NamedTuple):
    """Targets of N faces under a rule.

    Attributes:
        keep: (N,) bool, whether the rule has a target for the face.
        target: (N,K) float32, the target. Rows sum to 1, except for ``multi``, whose rows contain a 1 for every
            accepted class (a set, not a distribution). All 0 if the face is not kept.
        label: (N,) int64, class with the largest target, or for ``multi`` with the most votes (the first in a tie); -1
            if the face is not kept.
    """

    keep: NDArray[np.bool_]
    target: NDArray[np.float32]
    label: NDArray[np.int64]


def targets_from_votes(
    votes: NDArray[np.int64], vote_names: Sequence[str], class_names: Sequence[str], rule: str
) -> Targets:
    """Convert votes to targets with one rule.

    All rules except ``argmax`` and ``votes`` first remove single votes. Fractions are relative to all remaining votes,
    including those for ``unknown`` and ``NF``.

    - ``majority``: the class with more than half of the votes. A face without such a class is dropped.
    - ``crossentropy``: the distribution over the top classes. Classes are selected in decreasing order, ties together,
      until they have three quarters of the votes, or until ``unknown`` or ``NF`` is reached. A face is dropped if
      ``unknown`` or ``NF`` comes first, if more than three classes are selected, or if they have at most half of the
      votes.
    - ``probability``: the same target; the dataset samples one class from it each time a face is loaded.
    - ``multi``: every class with at least 30% of the votes, for a max-over-targets loss. A face is dropped as for
      ``crossentropy``, except that ``unknown`` and ``NF`` count as selected if they have at least 30%.
    - ``argmax``: the class with the most votes, ignoring ``unknown`` and ``NF``; the first one in a tie. No face is
      dropped: without any vote for a class, the first class is used, as in the published counts.
    - ``votes``: the distribution of the votes over the classes. A face without such votes is dropped.

    Args:
        votes: (N,V) votes.
        vote_names: the V names of the columns.
        class_names: the K classes; each must have a column.
        rule: one of :data:`VOTE_RULES`.

    Returns:
        Keep mask, targets and labels.

    Raises:
        ValueError: for an unknown rule, a wrong shape, negative votes, or a class without a column.

    Example:
        >>> votes = np.array([[6, 3, 1], [5, 5, 0], [2, 2, 6]])
        >>> result = targets_from_votes(votes, ["neutral", "anger", "unknown"], ["neutral", "anger"], "crossentropy")
        >>> result.keep.tolist(), [round(float(share), 3) for share in result.target[0]]
        ([True, True, False], [0.667, 0.333])
    """
    if rule not in VOTE_RULES:
        raise ValueError(f"Expected argument `rule` to be one of {VOTE_RULES}, but got {rule!r}.")
    votes = np.asarray(votes)
    if votes.ndim != 2 or votes.shape[1] != len(vote_names):
        raise ValueError(f"Expected argument `votes` of shape (N, {len(vote_names)}), but got {votes.shape}.")
    if votes.size and votes.min() < 0:
        raise ValueError(f"Expected argument `votes` to contain no negative count, but got {votes.min()}.")
    absent = [name for name in class_names if name not in vote_names]
    if absent:
        raise ValueError(f"Expected argument `vote_names` to include every class, but it lacks {absent}.")
    order = [list(vote_names).index(name) for name in class_names]
    order += [column for column in range(len(vote_names)) if column not in order]
    return _from_counts(votes[:, order].astype(np.float64), len(class_names), rule)


def targets_from_labels(label: NDArray[np.int64], num_classes: int) -> Targets:
    """Convert hard labels to one-hot targets; faces labelled -1 are not kept.

    Args:
        label: (N,) labels in [-1, K-1].
        num_classes: number of classes K.

    Returns:
        Keep mask, targets and labels.

    Example:
        >>> targets_from_labels(np.array([1, -1]), 2).target.tolist()
        [[0.0, 1.0], [0.0, 0.0]]
    """
    keep = label >= 0
    target = np.zeros((len(label), num_classes), dtype=np.float32)
    target[np.flatnonzero(keep), label[keep]] = 1.0
    return Targets(keep, target, label.astype(np.int64))


def _from_counts(votes: NDArray[np.float64], k: int, rule: str) -> Targets:
    """Apply a rule to (N,V) votes whose first ``k`` columns are the classes."""
    if rule == "argmax":
        return targets_from_labels(votes[:, :k].argmax(axis=1).astype(np.int64), k)
    if rule == "votes":
        taken = votes[:, :k]
        keep = taken.sum(axis=1) > 0
        return _normalised(taken, keep)

    votes = np.where(votes <= 1, 0.0, votes)
    total = votes.sum(axis=1)
    if rule == "majority":
        top = votes.argmax(axis=1)
        keep = (votes.max(axis=1, initial=0.0) > 0.5 * total) & (top < k)
        return targets_from_labels(np.where(keep, top, -1), k)
    if rule == "multi":
        taken = np.where((votes >= 0.3 * total[:, None]) & (votes > 0), votes, 0.0)
        keep = taken.argmax(axis=1) < k
    else:
        taken, keep = _from_the_top(votes, total, k)
    few = (taken > 0).sum(axis=1) <= 3
    keep = keep & few & (taken.sum(axis=1) > 0.5 * total)
    if rule == "multi":
        accepted = np.where(keep[:, None], taken[:, :k] > 0, False).astype(np.float32)
        return Targets(keep, accepted, np.where(keep, taken[:, :k].argmax(axis=1), -1))
    return _normalised(taken[:, :k], keep)


def _from_the_top(
    votes: NDArray[np.float64], total: NDArray[np.float64], k: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Select the top classes until they have three quarters of the votes.

    Returns:
        (N,V) votes of the selected classes, 0 elsewhere, and (N,) whether no other column came before the classes.
    """
    left = votes.copy()
    taken = np.zeros_like(votes)
    legal = np.ones(len(votes), dtype=bool)
    active = total > 0
    for _ in range(votes.shape[1]):
        top = left.max(axis=1)
        active &= (taken.sum(axis=1) < 0.75 * total) & (top > 0)
        if not active.any():
            break
        level = (left == top[:, None]) & active[:, None]  # ties are selected together
        taken[:, :k] = np.where(level[:, :k], votes[:, :k], taken[:, :k])
        left[level] = 0.0
        rejected = level[:, k:].any(axis=1)
        legal &= ~(rejected & ~(taken > 0).any(axis=1))  # unknown came before any class
        active &= ~rejected
    return taken, legal


def _normalised(taken: NDArray[np.float64], keep: NDArray[np.bool_]) -> Targets:
    taken = np.where(keep[:, None], taken, 0.0)
    total = taken.sum(axis=1, keepdims=True)
    target = np.divide(taken, total, out=np.zeros_like(taken), where=total > 0).astype(np.float32)
    return Targets(keep, target, np.where(keep, taken.argmax(axis=1), -1))
