"""Reproducible, stratified holdouts and parts of a set of faces; faces of one photo or person stay together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.data.seeding import name_order


def holdout(
    label: NDArray[np.int64], names: Sequence[str], fraction: float, seed: int, group: NDArray[np.int64] | None = None
) -> NDArray[np.bool_]:
    """Select the faces to hold out.

    The selection depends on file names, labels and the seed, but not on the order of rows, the folders of the files or
    the run, so every copy of a dataset gives the same holdout. The groups of each class are visited in random order,
    and a group is held out unless this moves the number of held-out faces away from the intended one. A group that is
    much larger than the intended number is therefore skipped.

    Args:
        label: (N,) classes.
        names: N file names or paths. Folders, suffixes and a final ``_aligned`` are ignored if the names are unique
            without them.
        fraction: fraction of each class to hold out, within (0, 1). The intended number of faces is at least 1 if the
            class has two or more groups.
        seed: random seed of the holdout.
        group: (N,) group of each face, e.g. its photo or person. Faces of a group stay together; a group counts towards
            its rarest class. None: each face is a group.

    Returns:
        (N,) bool, True if a face is held out.

    Raises:
        ValueError: if ``fraction`` is not within (0, 1).

    Example:
        >>> held = holdout(np.array([0] * 10 + [1] * 20), [f"{i}.png" for i in range(30)], 0.1, seed=0)
        >>> int(held[:10].sum()), int(held[10:].sum())
        (1, 2)
    """
    if not 0 < fraction < 1:
        raise ValueError(f"Expected argument `fraction` within (0, 1), but got {fraction}.")
    groups = _Groups(label, names, seed, group)
    held_groups = np.zeros(len(groups.size), dtype=bool)
    for mine in groups.by_class:
        quota = round(fraction * float(groups.size[mine].sum()))
        if quota == 0 and len(mine) > 1:  # aim for one face of a small class, so that its recall can be measured
            quota = 1
        total = 0
        for g in mine:
            if total >= quota:
                break
            if total + groups.size[g] - quota <= quota - total:  # with the group, the total is closer to the quota
                held_groups[g] = True
                total += int(groups.size[g])
    return held_groups[groups.member]


def parts(
    label: NDArray[np.int64], names: Sequence[str], count: int, seed: int, group: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Divide faces into parts of about the same size, stratified by class.

    As in :func:`holdout`, the result depends only on names, labels and the seed, and faces of a group stay together.

    Args:
        label: (N,) classes.
        names: N file names or paths, as in :func:`holdout`.
        count: number of parts, at least 2.
        seed: random seed of the division.
        group: (N,) group of each face, as in :func:`holdout`.

    Returns:
        (N,) int64 part of each face, from 0. Some parts are empty if there are fewer groups than parts.

    Raises:
        ValueError: if ``count`` is less than 2.

    Example:
        >>> part = parts(np.array([0] * 9 + [1] * 6), [f"{i}.png" for i in range(15)], 3, seed=0)
        >>> np.bincount(part[:9]).tolist(), np.bincount(part[9:]).tolist()
        ([3, 3, 3], [2, 2, 2])
    """
    if count < 2:
        raise ValueError(f"Expected argument `count` to be at least 2, but got {count}.")
    groups = _Groups(label, names, seed, group)
    part, total = np.zeros(len(groups.size), dtype=np.int64), np.zeros(count, dtype=np.int64)
    for mine in groups.by_class:
        of_class = np.zeros(count, dtype=np.int64)
        for g in mine:
            least = int(np.lexsort((total, of_class))[0])  # fewest faces of the class, then of all classes
            part[g] = least
            of_class[least] += groups.size[g]
            total[least] += groups.size[g]
    return part[groups.member]


class _Groups:
    """Groups of faces by class, in a random order that depends only on the names of the faces and the seed.

    Args:
        label: (N,) classes.
        names: N names or paths.
        seed: random seed of the order.
        group: (N,) group of each face; None: each face is a group.

    Attributes:
        member: (N,) number of the group of each face, from 0.
        size: (G,) number of faces in each group.
        by_class: for each class that occurs, its groups in random order; a group belongs to its rarest class.
    """

    def __init__(
        self, label: NDArray[np.int64], names: Sequence[str], seed: int, group: NDArray[np.int64] | None
    ) -> None:
        n = len(label)
        stems = [PurePosixPath(name).stem.removesuffix("_aligned") for name in names]
        if len(set(stems)) < n:
            stems = list(names)
        order = name_order(stems, seed)
        _, member = np.unique(np.arange(n) if group is None else np.asarray(group), return_inverse=True)
        self.member: NDArray[np.int64] = member
        self.size: NDArray[np.int64] = np.bincount(member)

        classes, counts = np.unique(label, return_counts=True)
        rarity = np.full(int(classes.max(initial=0)) + 1, n + 1)
        rarity[classes] = counts
        group_class = np.full(len(self.size), -1, dtype=np.int64)
        for row in sorted(range(n), key=lambda r: -rarity[label[r]]):  # the rarest class is written last
            group_class[member[row]] = label[row]

        # The position of a group in the random order is that of its first face.
        _, first = np.unique(member[order], return_index=True)
        places = np.argsort(first, kind="stable")
        self.by_class = [places[group_class[places] == k] for k in classes]
